package awssts

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"mintmark/attest"
	"mintmark/internal/fault"
	"mintmark/providers"
)

// Bounds of AWS on session tags.
const (
	maxTags     = 50
	maxTagKey   = 128
	maxTagValue = 256
)

func (c Config) validateTags(report func(field, want, got string)) {
	if c.WebIdentity != nil && len(c.Chain) == 0 {
		if len(c.Tags) > 0 {
			report("tags", "none with web_identity, where AWS takes them from the token: add a chain, or let the issuer set them", fmt.Sprintf("%d", len(c.Tags)))
		}
		if c.SourceIdentity != "" {
			report("source_identity", "none with web_identity, where AWS takes it from the token: add a chain, or let the issuer set it", c.SourceIdentity)
		}
	}
	if len(c.Tags) > maxTags {
		report("tags", "at most 50", fmt.Sprintf("%d", len(c.Tags)))
	}
	seen := map[string]bool{}
	for _, key := range slices.Sorted(maps.Keys(c.Tags)) {
		folded := strings.ToLower(key)
		if key == "" || utf8.RuneCountInString(key) > maxTagKey || strings.ContainsFunc(key, notInTag) || strings.HasPrefix(folded, "aws:") || seen[folded] {
			report("tags."+key, "a name of 1 to 128 letters, digits, spaces and any of _ . : / = + - @, not beginning with aws:, once in whatever case", key)
		}
		seen[folded] = true
		providers.CheckText(report, "tags."+key, c.Tags[key])
		plain := providers.WithoutAnyPlaceholder(c.Tags[key])
		if strings.ContainsFunc(plain, notInTag) || utf8.RuneCountInString(plain) > maxTagValue {
			report("tags."+key, "at most 256 letters, digits, spaces and any of _ . : / = + - @ and the placeholders", c.Tags[key])
		}
	}
	for _, key := range c.TransitiveTags {
		if _, ok := c.Tags[key]; !ok {
			report("transitive_tags", "names of tags", key)
		}
	}
}

func notInTag(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsNumber(r) && !unicode.Is(unicode.Z, r) && !strings.ContainsRune("_.:/=+-@", r)
}

// sessionTags fills the tags for an agent, in the order of their names.
func sessionTags(templates map[string]string, agent attest.Identity) ([]types.Tag, error) {
	var tags []types.Tag
	for _, key := range slices.Sorted(maps.Keys(templates)) {
		// A "," stands for "/" in {subject_path}, and tags have no commas.
		value, err := providers.FillText(templates[key], agent)
		if err != nil {
			return nil, err
		}
		value = strings.ReplaceAll(value, ",", "/")
		if n := len(value); n > maxTagValue {
			return nil, fault.Wrap("lease", fault.Internal, "the agent's name cannot be put into its credential",
				fmt.Errorf("fill tag %q: got %d characters, want at most %d", key, n, maxTagValue))
		}
		tags = append(tags, types.Tag{Key: &key, Value: &value})
	}
	return tags, nil
}
