package providers

import (
	"regexp"
	"strings"
)

// CheckApart reports a template with both placeholders and nothing between them that
// tells where one ends: "{trust_domain}-{subject_path}" is a-b-c of a workload b-c of
// trust domain a, and of c of a-b. Whoever has a trust domain chooses its paths.
func CheckApart(report func(field, want, got string), field, template string) {
	if strings.Contains(template, wholeAgent) {
		return
	}
	domain, path, joint := regexp.QuoteMeta(trustDomain), regexp.QuoteMeta(subjectPath), "[a-z0-9._-]*"
	for _, pair := range regexp.MustCompile(domain+joint+path+"|"+path+joint+domain).FindAllString(template, -1) {
		report(field, "between "+trustDomain+" and "+subjectPath+` a character that no trust domain has, such as "/", "," or "@", so that no agent is called as one of another trust domain`, pair)
	}
}
