package providers_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"mintmark/broker/audit"
	"mintmark/providers"
)

func ExampleNewSecret() {
	s := providers.NewSecret("hunter2")
	fmt.Println(s)
	fmt.Printf("%q %#v %d\n", s, []providers.Secret{s}, &s)
	// Output:
	// [redacted]
	// [redacted] []providers.Secret{[redacted]} [redacted]
}

// shapes wraps v in what printers and encoders walk through.
func shapes[T any](v T) map[string]any {
	return map[string]any{
		"value":           v,
		"pointer":         &v,
		"field":           struct{ V T }{v},
		"pointer field":   struct{ V *T }{&v},
		"unexported":      struct{ v T }{v},
		"unexported deep": &struct{ v *struct{ w T } }{&struct{ w T }{v}},
		"map":             map[string]T{"k": v},
		"map of any":      map[any]any{"k": v},
		"slice":           []T{v},
		"array":           [1]*T{&v},
		"interface":       struct{ V any }{v},
	}
}

func TestNothingShowsASecret(t *testing.T) {
	material := providers.Material{
		Token: providers.NewSecret(canary + "-t"), Username: "user", Password: providers.NewSecret(canary + "-p"),
		AccessKeyID: "AKIA", SecretAccessKey: providers.NewSecret(canary + "-s"), SessionToken: providers.NewSecret(canary + "-e"),
	}
	credential, opened := leaseAndOpen(t, material)
	if opened.Token() != canary+"-t" || opened.SessionToken() != canary+"-e" || opened.Password() != canary+"-p" || opened.SecretAccessKey() != canary+"-s" {
		t.Fatal("opened: got other secrets than were sealed: the test would prove nothing")
	}
	checkShapes(t, "secret", material.Token)
	checkShapes(t, "material", material)
	checkShapes(t, "sealed", providers.Seal(providers.Token, material, providers.Terms{}))
	checkShapes(t, "credential", credential)
	checkShapes(t, "opened", opened)
	checkShapes(t, "parts", opened.Parts)
}

func checkShapes[T any](t *testing.T, name string, v T) {
	t.Helper()
	for shape, value := range shapes(v) {
		for what, text := range renderings(value) {
			if strings.Contains(text, canary) {
				t.Errorf("%s as %s by %s: the secret is in %q", name, shape, what, text)
			}
			// The bytes in other spellings.
			if strings.Contains(strings.ToLower(text), fmt.Sprintf("%x", canary)) || strings.Contains(text, strings.Trim(fmt.Sprint([]byte(canary)), "[]")) {
				t.Errorf("%s as %s by %s: the secret's bytes are in %q", name, shape, what, text)
			}
		}
	}
}

func renderings(v any) map[string]string {
	all := map[string]string{"Sprint": fmt.Sprint(v), "Sprintln": fmt.Sprintln(v), "Errorf": fmt.Errorf("wrapped: %w", fmt.Errorf("%v", v)).Error()}
	for _, flag := range []string{"", "+", "#", " ", "-30", "030", ".3"} {
		for _, verb := range "vTtbcdoOqxXUeEfFgGsp" {
			format := "%" + flag + string(verb)
			all[format] = fmt.Sprintf(format, v)
		}
	}
	if encoded, err := json.Marshal(v); err == nil {
		all["json"] = string(encoded)
	} else {
		all["json error"] = err.Error()
	}
	for _, name := range []string{"text", "json"} {
		var b bytes.Buffer
		var handler slog.Handler = slog.NewTextHandler(&b, nil)
		if name == "json" {
			handler = slog.NewJSONHandler(&b, nil)
		}
		slog.New(handler).With("with", v).WithGroup("group").Error("message", "attr", v, slog.Group("in", "deep", v))
		all["slog "+name] = b.String()
	}
	return all
}

func TestRedactionSaysWhich(t *testing.T) {
	credential, opened := leaseAndOpen(t, providers.Material{Token: providers.NewSecret(canary)})
	for _, tt := range []struct {
		value any
		want  string
	}{
		{credential, "db/" + credential.ID()},
		{providers.Credential{}, "no credential"},
		{opened, "[redacted]"},
		{providers.Material{}, "[redacted]"},
		{providers.NewSecret(canary), "[redacted]"},
	} {
		if got := fmt.Sprint(tt.value); got != tt.want {
			t.Errorf("%T prints as %q, want %q", tt.value, got, tt.want)
		}
		if encoded, err := json.Marshal(tt.value); err != nil || string(encoded) != fmt.Sprintf("%q", tt.want) {
			t.Errorf("%T encodes as %s (%v), want %q", tt.value, encoded, err, tt.want)
		}
	}
}

// leaseAndOpen leases a credential of m through a Pool and reveals it.
func leaseAndOpen(t *testing.T, m providers.Material) (providers.Credential, providers.Opened) {
	t.Helper()
	r := one(t, sealing(m))
	t.Cleanup(func() { r.Stop(t) }) // not before: it wipes
	c, _ := lease(t, r)
	return c, r.Reveal(t, c)
}

func TestRevealNeedsItsOwnReceipt(t *testing.T) {
	r := one(t, sealing(providers.Material{Token: providers.NewSecret(canary)}))
	defer r.Stop(t)
	c, _ := lease(t, r)
	receipt := func(credential string) audit.Receipt {
		got, err := r.Log.Append(t.Context(), &audit.Record{Kind: audit.Decision, Allow: true, Credential: credential})
		if err != nil {
			t.Fatalf("append: %v", err)
		}
		return got
	}
	spent := receipt(c.ID())
	if _, err := c.Reveal(spent); err != nil {
		t.Fatalf("reveal against its receipt: %v", err)
	}
	for name, bad := range map[string]audit.Receipt{"none": {}, "spent": spent, "another's": receipt("other")} {
		if opened, err := c.Reveal(bad); err == nil || opened.Token() != "" {
			t.Errorf("receipt %s: got the secret, want an error", name)
		}
	}
	if opened, err := (providers.Credential{}).Reveal(receipt("")); err == nil || opened.Token() != "" {
		t.Error("zero credential: got revealed, want an error")
	}
}

func sealing(m providers.Material) *scripted {
	return &scripted{mint: mintOf(providers.Seal(providers.Token, m, providers.Terms{NotAfter: time.Now().Add(time.Hour)}))}
}
