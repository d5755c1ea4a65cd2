package fault_test

import (
	"errors"
	"fmt"
	"testing"

	"mintmark/internal/fault"
)

func TestWhyOf(t *testing.T) {
	down := &fault.Error{Op: "forward", Hint: "it can't be reached", Why: "it refuses connections", Err: errors.New("dial")}
	for name, tt := range map[string]struct {
		err  error
		want string
	}{
		"nothing":                  {nil, ""},
		"no fault":                 {errors.New("dial"), ""},
		"a fault without":          {fault.New("forward", fault.Invalid, "no"), ""},
		"a fault":                  {down, "it refuses connections"},
		"within another":           {fault.Wrap("session", fault.Unavailable, "no session", fmt.Errorf("begin: %w", down)), "it refuses connections"},
		"of one that has another":  {&fault.Error{Why: "outer", Err: down}, "outer"},
		"of two that have nothing": {fault.Wrap("a", fault.Invalid, "", fault.New("b", fault.Invalid, "")), ""},
	} {
		if got := fault.WhyOf(tt.err); got != tt.want {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
	if fault.HintOf(down) != "it can't be reached" {
		t.Errorf("got the hint %q, want it without why", fault.HintOf(down))
	}
}
