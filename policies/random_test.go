package policies_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// expressions writes conditions at random, of all that Cedar has.
type expressions struct{ *rand.Rand }

// randomCondition returns a "when" or "unless", with the guards that the check wants
// before what it reads. Not all are of the right type everywhere: the check refuses
// some.
func randomCondition(r *rand.Rand) string {
	e := expressions{r}
	body := e.truth(r.IntN(4))
	var guards strings.Builder
	for _, posture := range []string{"context.posture", "{c: context}.c.posture"} {
		for _, name := range factNames {
			if read := posture + "." + name; strings.Contains(body, read+".") || strings.Contains(body, read+" ") {
				guards.WriteString(posture + " has " + name + " && ")
			}
		}
	}
	return fmt.Sprintf(" %s { %s(%s) }", pick(r, "when", "unless"), &guards, body)
}

// fact is one, as a whole.
func (e expressions) fact() string {
	return pick(e.Rand, "context.posture.", "context.posture.", "context.posture.", "{c: context}.c.posture.") + pick(e.Rand, factNames...)
}

func (e expressions) truth(depth int) string {
	if depth == 0 {
		return pick(e.Rand, "context.posture has "+pick(e.Rand, factNames...), "context has posture", "principal has path", "resource has name", "resource has kind",
			e.entity()+" in "+e.entity(), e.entity()+" == "+e.entity(), "resource is Tool", "resource is Tool in Upstream::\"one\"",
			e.fact()+".age "+e.compare()+" "+e.number(0), "context.now "+e.compare()+" "+e.instant(0))
	}
	a, b := e.truth(depth-1), e.truth(depth-1)
	switch e.IntN(12) {
	case 0:
		return fmt.Sprintf("(%s && %s)", a, b)
	case 1:
		return fmt.Sprintf("(%s || %s)", a, b)
	case 2:
		return fmt.Sprintf("!(%s)", a)
	case 3:
		return fmt.Sprintf("(if %s then %s else %s)", e.truth(depth-1), a, b)
	case 4:
		return fmt.Sprintf("(%s) == (%s)", a, b)
	case 5:
		return e.fact() + pick(e.Rand, " == ", " != ") + pick(e.Rand, e.fact(), `{value: "pass", age: 3600, issuer: "scan/x"}`)
	case 6:
		return e.text() + " like " + pick(e.Rand, `"*"`, `"/x*"`, `"p*s"`, `"t*"`, `"\*"`, `"scan/?"`, `"*/*"`)
	case 7:
		return e.text() + pick(e.Rand, " == ", " != ") + e.text()
	case 8:
		return fmt.Sprintf("[%s, %s].%s", e.number(depth-1), e.number(depth-1), pick(e.Rand,
			"contains("+e.number(depth-1)+")", "containsAny(["+e.number(depth-1)+"])", "containsAll(["+e.number(0)+"])"))
	case 9:
		return e.instant(depth) + " " + e.compare() + " " + e.instant(depth)
	case 10:
		return pick(e.Rand, fmt.Sprintf("[%s, %s].contains(%s)", e.entity(), e.entity(), e.entity()), fmt.Sprintf("%s in [%s, %s]", e.entity(), e.entity(), e.entity()),
			"context == context", "[context.posture].contains(context.posture)", `{p: context.posture}.p has scan`, `context.posture == {}`)
	default:
		return e.number(depth) + " " + e.compare() + " " + e.number(depth)
	}
}

func (e expressions) compare() string { return pick(e.Rand, "<", "<=", ">", ">=", "==", "!=") }

func (e expressions) number(depth int) string {
	if depth == 0 {
		return pick(e.Rand, "0", "1", "-1", "3599", "3600", "3601", "60*60", "9223372036854775807", "-9223372036854775808", "(1 - 2)",
			`(if Agent::"spiffe://a.example/x/q" in TrustDomain::"a.example" then 3600 else 1)`, `duration("1h").toSeconds()`)
	}
	a, b := e.number(depth-1), e.number(depth-1)
	switch e.IntN(8) {
	case 0:
		return fmt.Sprintf("(%s %s %s)", a, pick(e.Rand, "+", "-", "*"), b)
	case 1:
		return fmt.Sprintf("(-%s)", a)
	case 2:
		return fmt.Sprintf("(if %s then %s else %s)", e.truth(0), a, b)
	case 3:
		return "context.clock.utc." + pick(e.Rand, "hour", "minute", "minute_of_day")
	case 4:
		return fmt.Sprintf("context.now.durationSince(%s).toSeconds()", e.instant(0))
	case 5:
		return a
	default:
		return e.fact() + ".age"
	}
}

func (e expressions) instant(depth int) string {
	if depth == 0 {
		return pick(e.Rand, `datetime("2026-06-10T12:00:00Z")`, `datetime("2026-06-10T12:00:00.001Z")`, `datetime("2026-06-10")`, `datetime("2026-06-10T11:59:59Z")`,
			`datetime("2026-06-10").offset(duration("12h1s"))`, `datetime("2026-06-10").offset(duration("9223372036854775807ms"))`)
	}
	return pick(e.Rand, "context.now", "context.now", "context.now.toDate()", `context.now.offset(duration("-1h"))`, e.instant(0),
		fmt.Sprintf("(if %s then context.now else %s)", e.truth(0), e.instant(0)))
}

func (e expressions) text() string {
	return pick(e.Rand, e.fact()+".value", e.fact()+".issuer", "context.credential", "principal.path", "principal.trust_domain", "resource.name", "resource.upstream",
		"context.clock.utc.date", `"pass"`, `"/x"`, `"gh"`, `"t"`, `"one"`, `"scan/y"`, `""`, `Tool::"one/t".name`, `Upstream::"one".upstream`)
}

func (e expressions) entity() string {
	return pick(e.Rand, "principal", "resource", "action", "resource", `Upstream::"one"`, `Upstream::"web"`, `Tool::"one/t"`, `Tool::"one/u"`, `Tool::"two/v"`, `Path::"web/c"`,
		`TrustDomain::"a.example"`, `PathPrefix::"spiffe://a.example/x"`, `Agent::"spiffe://a.example/x/q"`, `Action::"list"`, `Action::"tools/call"`)
}
