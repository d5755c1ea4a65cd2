package jsonhttp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"mintmark/internal/fault"
	"mintmark/providers"
)

const (
	// unstated is how long a token counts as good whose server does not say.
	unstated = time.Minute
	longest  = 10 * 365 * 24 * time.Hour
)

// Token is what a token endpoint issued (RFC 6749, section 5.1).
type Token struct {
	Value  providers.Secret
	Life   time.Duration
	Scopes []string // as granted; nil where the server does not say

	authorize func(*http.Request)
}

// Authorize puts the token on r, for a provider whose token buys another.
func (t Token) Authorize(r *http.Request) {
	if t.authorize != nil {
		t.authorize(r)
	}
}

// issued is the answer of a token endpoint. The rest is read after the token, which is good
// there whatever that is, and wherever it stands.
type issued struct {
	AccessToken string         `json:"access_token"`
	TokenType   jsontext.Value `json:"token_type"`
	ExpiresIn   jsontext.Value `json:"expires_in"`
	Scope       jsontext.Value `json:"scope"`
}

// Token sends r to a token endpoint and returns the bearer token of its answer. With an error
// comes a token that the endpoint issued all the same, and that must not be used; its Life
// is 0 where that is not known.
func (c Client) Token(r *http.Request) (Token, error) {
	var answer issued
	err := c.Do(r, &answer)
	refuse := func(kind fault.Kind, hint, cause string) error {
		return providers.Asked(r.Method, r.URL.String(), fault.Wrap("lease", kind, c.System+hint, errors.New(cause)))
	}
	token, wrong := answer.token()
	switch {
	case err != nil:
		return token, err
	case answer.AccessToken == "":
		return Token{}, refuse(fault.Unavailable, " gave no usable answer", "got JSON without access_token, want one: is it a token endpoint that answers there?")
	case wrong == "token_type": // a bound token is no use as a bearer
		return token, refuse(fault.Internal, " issued a token that is not a bearer token", "got another token_type than Bearer: have the server issue those to the broker")
	case wrong == "scope":
		return token, refuse(fault.Internal, " issued a token with a scope that can't be read", "got a scope that is no text: is it a token endpoint that answers there?")
	case given(answer.ExpiresIn) && token.Life <= 0:
		return token, refuse(fault.Internal, " issued a token without a usable lifetime", "got an expires_in that is no number above 0: have the server state one")
	case token.Life <= 0:
		token.Life = unstated
	}
	return token, nil
}

// token returns what was issued, if anything, and which part of what is said of it is wrong.
func (i issued) token() (t Token, wrong string) {
	if i.AccessToken == "" {
		return Token{}, ""
	}
	var kind, scope string
	var life Seconds
	_ = json.Unmarshal(i.ExpiresIn, &life) // what is no number is 0
	if given(i.Scope) && json.Unmarshal(i.Scope, &scope) != nil {
		wrong = "scope"
	}
	if json.Unmarshal(i.TokenType, &kind) != nil || !strings.EqualFold(kind, "Bearer") {
		wrong = "token_type"
	}
	t = Token{Value: providers.NewSecret(i.AccessToken), Life: life.Duration, Scopes: strings.Fields(scope)}
	t.authorize = func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+i.AccessToken) }
	return t, wrong
}

// given reports whether there is something in a place of an answer.
func given(v jsontext.Value) bool { return len(v) > 0 && string(v) != "null" }

// End returns when a token ends that was asked for at start, or zero where that is not known.
func (t Token) End(start time.Time) time.Time {
	if t.Life <= 0 {
		return time.Time{}
	}
	return start.Add(t.Life)
}

// Time returns a time of an answer, or zero where it is none (RFC 3339).
func Time(v jsontext.Value) (t time.Time) {
	if !given(v) || json.Unmarshal(v, &t) != nil {
		return time.Time{}
	}
	return t
}

// Seconds is a span of time in seconds: a number, or a number as text, as some
// servers write it. What is neither is zero.
type Seconds struct{ time.Duration }

// UnmarshalJSON reads one.
func (s *Seconds) UnmarshalJSON(text []byte) error {
	seconds, err := strconv.ParseFloat(string(bytes.Trim(text, `"`)), 64)
	if err != nil || !(seconds > 0) {
		seconds = 0
	}
	s.Duration = time.Duration(min(seconds, longest.Seconds()) * float64(time.Second))
	return nil
}

// Assertion returns the broker's JWT-SVID for audience, which it shows to system.
// An error is a *fault.Error.
func Assertion(ctx context.Context, self providers.IdentitySource, audience, system string) (string, error) {
	if self == nil {
		return "", fault.New("lease", fault.Unavailable, "the broker has no identity to show to "+system)
	}
	svid, err := self.JWTSVID(ctx, audience)
	if err != nil {
		return "", fault.Wrap("lease", fault.Unavailable, "the broker has no identity to show to "+system, err)
	}
	return svid, nil
}

// Code returns the error code of RFC 6749, section 5.2, or RFC 8693 that a token
// endpoint refused with, or "": never what the server wrote in its place.
func Code(answer []byte) string {
	var refusal struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(answer, &refusal) != nil {
		return ""
	}
	switch refusal.Error {
	case "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type",
		"invalid_scope", "invalid_target", "access_denied", "server_error", "temporarily_unavailable":
		return refusal.Error
	}
	return ""
}

// Join returns what is not empty of words, as one explanation.
func Join(words ...string) string {
	var said []string
	for _, w := range words {
		if w != "" {
			said = append(said, w)
		}
	}
	return strings.Join(said, ": ")
}

// Missing is the fault of an answer to r that lacks what it must have.
func (c Client) Missing(r *http.Request, what string) error {
	return providers.Asked(r.Method, r.URL.String(), fault.Wrap("lease", fault.Internal, fmt.Sprintf("%s issued a credential without %s", c.System, what),
		errors.New("compare the address: is it this system, of a version that is supported, that answers there?")))
}
