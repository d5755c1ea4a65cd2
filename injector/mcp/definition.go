package mcp

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/go-json-experiment/json/jsontext"
)

// Definition returns the hex SHA-256 of what a tool says of itself: its name,
// title, description, schemas and annotations, in canonical JSON (RFC 8785), so
// that neither order nor spacing counts, nor how a fraction is written, unless one
// of them is very small or long. It returns an *Error for a tool that can't be
// read in one way.
func Definition(tool []byte) (string, error) {
	names := []string{"name", "title", "description", "inputSchema", "outputSchema", "annotations"}
	o, err := cutNamed(tool, names)
	if err != nil {
		return "", err
	}
	var said Object
	for _, name := range names {
		if v := o.Get(name); v != nil {
			said = said.With(name, v)
		}
	}
	text := jsontext.Value(said.JSON())
	// A list may be of nothing but fractions that are slow to convert.
	if err := text.Canonicalize(jsontext.CanonicalizeRawFloats(!anyNumber(text, isSlow))); err != nil {
		return "", syntaxError(err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}
