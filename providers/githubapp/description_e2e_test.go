//go:build e2e

package githubapp_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/internal/testenv"
	"mintmark/providers"
	"mintmark/providers/githubapp"
	"mintmark/providers/internal/providertest"
)

// operation is one of GitHub's own description of its API, @octokit/openapi.
type operation struct {
	Request struct{ Schema *jsonschema.Schema }
	Answers map[string]json.RawMessage // by status: GitHub's example, or one of the form that it describes
}

// describedAs returns the operation that a request is for.
func describedAs(t *testing.T, sent providertest.Sent) operation {
	t.Helper()
	var described operation
	testenv.VendorClient(t, "openapi", "", "", map[string]string{
		"method": strings.ToLower(sent["method"]), "path": strings.TrimPrefix(sent["path"], "/api/v3"), "filler": providertest.Canary,
	}, &described)
	return described
}

// closed returns a schema that takes no member that it does not name: GitHub's are open.
func closed(s *jsonschema.Schema) *jsonschema.Schema {
	if s.Type == "object" {
		s.AdditionalProperties = &jsonschema.Schema{Not: &jsonschema.Schema{}}
	}
	for _, member := range s.Properties {
		closed(member)
	}
	return s
}

// TestRequestsAreAsGitHubDescribesThem finds the operations by what is sent, and checks
// bodies against the schema: that a body of another form is none to it, and that every
// permission there is can be registered.
func TestRequestsAreAsGitHubDescribesThem(t *testing.T) {
	t.Parallel()
	g, c := newGitHub(t)
	github := providertest.NewCapture(t, g.handler())
	c.URL, c.CA = providertest.URL(t, github.URL+"/api/v3"), bundle.Path(github.Certificate)
	var bodies []string
	for _, narrow := range []githubapp.Config{
		{},
		{Repositories: []string{"orders", "site.github.io"}},
		{Repositories: []string{"orders"}, Permissions: map[string]string{"contents": "read", "issues": "write", "organization_projects": "admin"}},
	} {
		c.Repositories, c.Permissions = narrow.Repositories, narrow.Permissions
		r := providertest.One(t, open(t, c), token)
		r.Must(t, providers.Request{})
		bodies = append(bodies, g.body)
		r.Stop(t)
	}
	sent := github.Take(t, 6)
	described := closed(describedAs(t, sent[0]).Request.Schema)
	if end := describedAs(t, sent[1]); end.Request.Schema != nil || end.Answers["204"] == nil || sent[1]["method"] != "DELETE" {
		t.Errorf("end of a token: GitHub describes %+v", end)
	}
	schema, err := described.Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range bodies {
		if err := schema.Validate(parsed(t, body)); err != nil {
			t.Errorf("%s: %v", body, err)
		}
	}
	for name, permission := range described.Properties["permissions"].Properties {
		for _, level := range permission.Enum {
			if got := providertest.Faults(githubapp.Config{InstallationID: 1, Permissions: map[string]string{name: level.(string)}}); len(got) > 0 {
				t.Errorf("%s: %v: got faults %v, want none", name, level, got)
			}
		}
	}
	for _, body := range []string{`{"repositories":"orders"}`, `{"repository":["orders"]}`, `{"permissions":{"content":"read"}}`, `{"permissions":{"contents":"admin"}}`} {
		if schema.Validate(parsed(t, body)) == nil {
			t.Errorf("%s: the schema takes it", body)
		}
	}
}

func parsed(t *testing.T, body string) (value any) {
	t.Helper()
	if err := json.Unmarshal([]byte(body), &value); err != nil {
		t.Fatal(err)
	}
	return value
}

// TestAnswersThatGitHubDescribes has each answer that GitHub describes read by the
// provider.
func TestAnswersThatGitHubDescribes(t *testing.T) {
	t.Parallel()
	described := describedAs(t, providertest.Sent{"method": "POST", "path": "/app/installations/42/access_tokens"})
	ref, _ := appKey(t)
	reasons := map[string]string{
		"401": "status 401: compare app_id and private_key, and the clocks",
		"403": "status 403: the installation may be suspended",
		"404": "status 404: compare installation_id and app_id",
		"422": "status 422: compare repositories and permissions with what the installation has",
	}
	if got, want := slices.Sorted(maps.Keys(described.Answers)), []string{"201", "401", "403", "404", "422"}; !slices.Equal(got, want) {
		t.Errorf("statuses: got %v, want %v", got, want)
	}
	for status, body := range described.Answers {
		code, err := strconv.Atoi(status)
		if err != nil {
			t.Fatal(err)
		}
		answered := func(body string) providers.Provider {
			return open(t, config(t, ref, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodDelete {
					w.WriteHeader(http.StatusNoContent)
					return
				}
				providertest.Answer(code, "application/json; charset=utf-8", body)(w, r)
			})))
		}
		if status == "201" {
			issues(t, answered, string(body))
			continue
		}
		minted, err := answered(string(body)).Mint(t.Context(), providers.Request{})
		providertest.CheckAnswer(t, minted, err, providertest.Canary)
		if fault.KindOf(err) != fault.Internal || !strings.HasPrefix(err.Error(), "lease: the credential provider refused the broker: asked POST ") ||
			!strings.HasSuffix(err.Error(), ": github answered with "+reasons[status]) {
			t.Errorf("%s: got %v, want %q", status, err, reasons[status])
		}
	}
}

// issues demands that the provider makes of an answer what stands in it.
func issues(t *testing.T, answered func(body string) providers.Provider, body string) {
	t.Helper()
	var example struct {
		Token       string
		Permissions map[string]string
		ExpiresAt   string `json:"expires_at"`
	}
	if err := json.Unmarshal([]byte(body), &example); err != nil || example.Token == "" || example.ExpiresAt == "" || len(example.Permissions) == 0 {
		t.Fatalf("example: got %s, %v", body, err)
	}
	minted, err := answered(body).Mint(t.Context(), providers.Request{})
	if err != nil {
		t.Fatal(err)
	}
	var scopes []string
	for _, name := range slices.Sorted(maps.Keys(example.Permissions)) {
		scopes = append(scopes, name+":"+example.Permissions[name])
	}
	if got := minted.NotAfter().UTC().Format(time.RFC3339); got != example.ExpiresAt || !slices.Equal(minted.Scopes(), scopes) {
		t.Errorf("got %v until %v, want %v until %v", minted.Scopes(), got, scopes, example.ExpiresAt)
	}
	// The pool gives out no token that ended, as GitHub's example did in 2016.
	r := providertest.One(t, answered(strings.ReplaceAll(body, example.ExpiresAt, "2050-01-01T00:00:00Z")))
	defer r.Stop(t)
	leased, _ := r.Must(t, providers.Request{})
	if got := r.Reveal(t, leased).Token(); got != example.Token {
		t.Errorf("token: got %q, want the example's", got)
	}
}
