package main

import "testing"

func TestCheck(t *testing.T) {
	cases := map[string]struct {
		out string
		ok  bool
	}{
		"good":               {"started\n{\"audit_verified\":true,\"leaks\":0,\"calls\":7}\n", true},
		"a leak":             {`{"audit_verified":true,"leaks":1}`, false},
		"not verified":       {`{"audit_verified":false,"leaks":0}`, false},
		"no word on leaks":   {`{"audit_verified":true}`, false},
		"no word on records": {`{"leaks":0}`, false},
		"not the last line":  {"{\"audit_verified\":true,\"leaks\":0}\nbye\n", false},
		"nothing":            {"", false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if err := check(c.out); (err == nil) != c.ok {
				t.Errorf("check: got %v, want success %v", err, c.ok)
			}
		})
	}
}
