package mcp

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Definition returns the hex SHA-256 of what a tool says of itself: its name,
// title, description, schemas and annotations, in canonical JSON (RFC 8785), so
// that neither order nor spacing counts, nor how a fraction is written, unless one
// of them is very small or long. It returns an *Error for a tool that can't be
// read in one way.
func Definition(tool []byte) (string, error) {
	said, err := saidOfItself(tool)
	if err != nil {
		return "", err
	}
	return canonicalDigest(said.JSON())
}

// saidOfItself returns the members of a tool that make up its definition.
func saidOfItself(tool []byte) (said Object, err error) {
	names := []string{"name", "title", "description", "inputSchema", "outputSchema", "annotations"}
	o, err := cutNamed(tool, names)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if v := o.Get(name); v != nil {
			said = said.With(name, v)
		}
	}
	return said, nil
}

// canonicalDigest returns the digest of a value, which it writes anew in place.
func canonicalDigest(value []byte) (string, error) {
	text := jsontext.Value(value)
	// A list may be of nothing but fractions that are slow to convert.
	if err := text.Canonicalize(jsontext.CanonicalizeRawFloats(!anyNumber(text, isSlow))); err != nil {
		return "", syntaxError(err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// DefinitionParts returns the digests of the members that make up a tool's
// definition, for people who want to know which of them changed: "name 0123…,
// description …". They are cut to 128 bits, which is enough for a server not to
// find two texts with one digest. They say nothing of the text itself, in which it
// may repeat a secret. It returns an *Error where Definition does.
func DefinitionParts(tool []byte) (string, error) {
	said, err := saidOfItself(tool)
	if err != nil {
		return "", err
	}
	parts := make([]string, len(said))
	for i, m := range said {
		digest, err := canonicalDigest(bytes.Clone(m.Value))
		if err != nil {
			return "", err
		}
		parts[i] = m.Name + " " + digest[:32]
	}
	return strings.Join(parts, ", "), nil
}

// ChangedParts returns the names of the members that differ between two texts of
// DefinitionParts, in their order.
func ChangedParts(before, after string) (names []string) {
	for _, both := range []struct{ these, those string }{{before, after}, {after, before}} {
		other := strings.Split(both.those, ", ")
		for part := range strings.SplitSeq(both.these, ", ") {
			name, _, _ := strings.Cut(part, " ")
			if name != "" && !slices.Contains(other, part) && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}
