package mcp_test

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"mintmark/injector/mcp"
)

func call(numbers string) []byte {
	return []byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"v":[` + numbers + `]}}}`)
}

// strconv is the judge of what a float holds.
func TestRangeOfNumbers(t *testing.T) {
	digits := []string{"0", "1", "9", "2.2250738585072011", "4.9406564584124654", "17.976931348623157", "1.7976931348623158", "1.79769313486231590", "247032822920623272.0", "2.4703282292062328", "0.00024703282292062327", "0.0", "9" + strings.Repeat("0", 320), "0." + strings.Repeat("0", 330) + "7"}
	r := mcp.NewReader(64)
	for _, d := range digits {
		for _, n := range []string{d, "-" + d} {
			for exponent := -700; exponent <= 700; exponent++ {
				n := n + "e" + strconv.Itoa(exponent)
				f, err := strconv.ParseFloat(n, 64)
				out := err != nil || f == 0 && strings.ContainsAny(d, "123456789")
				if _, err := r.Read(call(n)); (err != nil) != out {
					t.Errorf("%s: got %v, want refused: %t", n, err, out)
				}
			}
		}
	}
}

// Readers stop counting somewhere: one says that this is 1, another that it is 0.
func TestExponentThatReadersDoNotCount(t *testing.T) {
	for _, n := range []string{"0." + strings.Repeat("0", 10099) + "1e10100", "1e-99999999999999999999"} {
		if _, err := mcp.NewReader(64).Read(call(n)); err == nil {
			t.Errorf("%.20s…: got nothing refused", n)
		}
	}
	if _, err := mcp.NewReader(64).Read(call("0e99999999999999999999, 0.000e-99999999999999999999")); err != nil {
		t.Errorf("zero: got %v", err)
	}
}

// Conversion of such a number takes thousands of steps, and of one that is longer
// than strconv's own buffer a copy by which it is seen here.
func TestNumbersAtTheEndOfTheRangeAreNotConverted(t *testing.T) {
	r := mcp.NewReader(64)
	allocations := func(n int) float64 {
		body := call(strings.Repeat("1.2345678901234567890123456789012345678901234567890e-310,", n) + "1")
		return testing.AllocsPerRun(5, func() {
			if _, err := r.Read(body); err != nil {
				t.Error(err)
			}
		})
	}
	if few, many := allocations(1), allocations(1000); many > few+100 { // the pool of decoders gives one or not
		t.Errorf("got %v allocations for 1000 numbers and %v for one, want about the same", many, few)
	}
}

// How a number is written counts only where it is slow to convert.
func TestDefinitionOfNumbers(t *testing.T) {
	definition := func(n string) string {
		digest, err := mcp.Definition([]byte(`{"name":"a","description":"-1e-310","inputSchema":{"minimum":` + n + `}}`))
		if err != nil {
			t.Fatal(err)
		}
		return digest
	}
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"0.10", "1e-1", true},
		{"3e-307", "30e-308", true},
		{"18446744073709551615", "18446744073709552000", true},
		{"1e-310", "10e-311", false},
		{"-5e-324", "-4.9e-324", false},
		{"1.0000000000000000001e-300", "1.00000000000000000010e-300", false},
	} {
		if same := definition(c.a) == definition(c.b); same != c.same {
			t.Errorf("%s and %s: got the same: %t, want %t", c.a, c.b, same, c.same)
		}
	}
}

// What takes two bytes in an answer takes a dozen times as many when it is cut.
func TestElementsAreCounted(t *testing.T) {
	of := func(n int) []byte { return []byte("[" + strings.Repeat("0,", n-1) + "0]") }
	if got, err := mcp.CutArray(of(1 << 16)); err != nil || len(got) != 1<<16 {
		t.Errorf("got %d, %v", len(got), err)
	}
	_, err := mcp.CutArray(of(1<<16 + 1))
	if e, ok := errors.AsType[*mcp.Error](err); !ok || !strings.Contains(e.Message, "expected at most 65536 elements") {
		t.Errorf("got %v", err)
	}
	message := []byte(`{"jsonrpc":"2.0","id":1,"result":{"tools":` + string(of(1<<16+1)) + `}}`)
	if _, err := mcp.FilterLists(message, public); err == nil {
		t.Error("got a list of that many shown")
	}
}

func TestMembersAreCounted(t *testing.T) {
	of := func(n int) []byte {
		var o mcp.Object
		for i := range n {
			o = append(o, mcp.Member{Name: strconv.Itoa(i), Value: []byte("1")})
		}
		return o.JSON()
	}
	if got, err := mcp.CutObject(of(1 << 16)); err != nil || len(got) != 1<<16 {
		t.Errorf("as many as may be: got %d, %v", len(got), err)
	}
	_, err := mcp.CutObject(of(1<<16 + 1))
	if e, ok := errors.AsType[*mcp.Error](err); !ok || !strings.Contains(e.Message, "expected at most 65536 members") {
		t.Errorf("one more: got %v, want it to say how many may be", err)
	}
}
