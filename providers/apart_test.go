package providers_test

import (
	"testing"

	"mintmark/providers"
)

// Where two trust domains meet, one of them chooses its paths: no template is taken by
// which a workload of it can be called as one of the other's.
func TestNoTemplateGivesTwoAgentsOneName(t *testing.T) {
	for template, want := range map[string]bool{
		"{trust_domain}-{subject_path}": false, "{trust_domain}{subject_path}": false, "x/{subject_path}.{trust_domain}/y": false,
		"{subject_path}-of-{trust_domain}": false, "{trust_domain}-{subject_path}-{trust_domain}": false,
		"{trust_domain}-{trust_domain}-{subject_path}": false,
		"{trust_domain}/{subject_path}":                true, "{trust_domain}-@-{subject_path}": true, "{trust_domain},{subject_path}": true, "{subject_path},{trust_domain}": true,
		"{trust_domain}/{subject_path}-x {subject_path}-{trust_domain}": false, "{subject_path}-x": true, "{trust_domain}": true, "{agent}-{trust_domain}-{subject_path}": true, "": true,
	} {
		reported := false
		providers.CheckApart(func(_, _, _ string) { reported = true }, "path", template)
		if reported == want {
			t.Errorf("%s: got it reported %t, want %t", template, reported, !want)
		}
	}
}

// Why: see above.
func TestTwoAgentsWouldHaveOneName(t *testing.T) {
	one, err := providers.FillName("{trust_domain}-{subject_path}", agent(t, "spiffe://a/b-c"))
	other, failed := providers.FillName("{trust_domain}-{subject_path}", agent(t, "spiffe://a-b/c"))
	if err != nil || failed != nil || one != other {
		t.Errorf("got %q, %v and %q, %v: are there templates that are refused for nothing?", one, err, other, failed)
	}
}

func TestTheNameOfOneIsNotAnothers(t *testing.T) {
	for _, template := range []string{"{trust_domain}/{subject_path}", "{trust_domain},{subject_path}", "{subject_path},{trust_domain}", "{trust_domain}@{subject_path}"} {
		names := map[string]string{}
		for _, id := range []string{"spiffe://a-b/c", "spiffe://a/b-c", "spiffe://a.b/c", "spiffe://a/b.c", "spiffe://a/b/c", "spiffe://a/c/b", "spiffe://b/a/c", "spiffe://ab/c", "spiffe://a/bc"} {
			name, err := providers.FillName(template, agent(t, id))
			if other, taken := names[name]; err != nil || taken {
				t.Errorf("%s: got %q for %s and %s, %v", template, name, id, other, err)
			}
			names[name] = id
		}
	}
}
