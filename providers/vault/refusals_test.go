package vault_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"mintmark/internal/fault"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
)

func TestRefusalsAreExplainedAndNotQuoted(t *testing.T) {
	quoting := `{"errors":["` + canary + ` is wrong"],"data":{"x":"` + canary + `"}}`
	tests := map[string]struct {
		handler http.HandlerFunc
		kind    fault.Kind
		hint    string
	}{
		"sealed":            {answer(503, `{"errors":["Vault is sealed `+canary+`"]}`), fault.Unavailable, "vault is sealed"},
		"not ready":         {answer(503, quoting), fault.Unavailable, "vault is not ready"},
		"limited":           {answer(429, quoting), fault.Unavailable, "vault limits how often the broker may ask"},
		"standby":           {answer(473, quoting), fault.Unavailable, "vault is a standby that does not forward requests"},
		"broken":            {answer(500, quoting), fault.Unavailable, "vault could not make the credential"},
		"forbidden":         {answer(403, quoting), fault.Internal, "the credential provider refused the broker"},
		"bad request":       {answer(400, quoting), fault.Internal, "the credential provider refused the broker"},
		"missing":           {answer(404, `{"errors":[]}`), fault.Internal, "there is no such secret at its provider"},
		"teapot":            {answer(418, canary), fault.Internal, "vault gave an unexpected answer"},
		"redirect":          {redirect, fault.Unavailable, "vault answered with a redirect, which is not followed"},
		"not json":          {answer(200, "<html>"+canary), fault.Unavailable, "vault gave no usable answer"},
		"cut short":         {answer(200, `{"data":{"data":{"key":"`+canary), fault.Unavailable, "vault gave no usable answer"},
		"too long":          {answer(200, `{"data":"`+strings.Repeat(canary, 1<<17)+`"}`), fault.Unavailable, "vault answered with more than 1048576 bytes"},
		"hangs up":          {hangUp, fault.Unavailable, "vault gave no usable answer"},
		"malformed":         {malformed, fault.Unavailable, "vault gave no usable answer"},
		"nothing":           {answer(204, ""), fault.Internal, "there is no such secret at its provider"},
		"deleted":           {answer(200, `{"data":{"data":null,"metadata":{"deletion_time":"now"}}}`), fault.Internal, "the secret at its provider is deleted"},
		"field missing":     {answer(200, `{"data":{"data":{"other":"`+canary+`"}}}`), fault.Internal, "the secret at its provider lacks a field that the broker is told to use"},
		"field not text":    {answer(200, `{"data":{"data":{"key":12345678901}}}`), fault.Internal, "the secret at its provider lacks a field that the broker is told to use"},
		"field an object":   {answer(200, `{"data":{"data":{"key":{"a":"`+canary+`"}}}}`), fault.Internal, "the secret at its provider lacks a field that the broker is told to use"},
		"field empty":       {answer(200, `{"data":{"data":{"key":""}}}`), fault.Internal, "the secret at its provider lacks a field that the broker is told to use"},
		"data not a object": {answer(200, `{"data":{"data":["`+canary+`"]}}`), fault.Internal, "the secret at its provider is deleted"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d := newDouble(t)
			d.on("secret/data/team/app", tt.handler)
			r := providertest.One(t, open(t, kv2(t, d), providers.Env{}), canary)
			defer r.Stop(t)
			if hint := r.Refused(t, providers.Request{}, tt.kind); hint != tt.hint {
				t.Errorf("hint: got %q, want %q", hint, tt.hint)
			}
			r.Names(t, "asked GET "+d.URL+"/v1/secret/data/team/app: ")
			// net/http itself asks again where a kept connection turns out closed.
			if got := d.count("GET secret/data/team/app"); got != 1 && name != "hangs up" {
				t.Errorf("got %d reads, want one: the Pool decides when to try again", got)
			}
		})
	}
}

func redirect(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, "http://127.0.0.1:1/"+canary, http.StatusTemporaryRedirect)
}

func hangUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func malformed(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	_, _ = io.WriteString(conn, "HTTP/1.1 "+canary+"\r\n"+canary+"\r\n\r\n")
	_ = conn.Close()
}

func TestLoginRefusalsAreExplained(t *testing.T) {
	tests := map[string]struct {
		handler http.HandlerFunc
		self    *self
		kind    fault.Kind
		hint    string
		next    string
	}{
		"refused": {answer(400, `{"errors":["`+canary+`"]}`), &self{}, fault.Internal, "the credential provider refused the broker",
			`vault answered with status 400: compare role "mintmark", audience "vault" with the role's bound_audiences, and the broker's SPIFFE ID with its bound_subject; is the method set up at auth/jwt? Vault's own log says more`},
		"forbidden": {answer(403, `{"errors":["`+canary+`"]}`), &self{}, fault.Internal, "the credential provider refused the broker",
			`vault answered with status 403: is the method jwt enabled at auth/jwt (vault auth list), in this namespace, and is it Vault that answers there? If so, compare role "mintmark", `},
		"unauthorized": {answer(401, canary), &self{}, fault.Internal, "the credential provider refused the broker", "vault answered with status 401: is the method jwt enabled at auth/jwt "},
		"not vault":    {answer(404, `{"errors":["`+canary+`"]}`), &self{}, fault.Internal, "the credential provider has no such login", "vault answered with status 404: is the method jwt enabled at auth/jwt (vault auth list), in this namespace, and is it Vault"},
		"no token":     {answer(200, `{"auth":null}`), &self{}, fault.Internal, "vault answered a login without a token", ""},
		"sealed":       {answer(503, `{"errors":["Vault is sealed"]}`), &self{}, fault.Unavailable, "vault is sealed", "vault answered with status 503: unseal it"},
		"no identity":  {answer(200, `{}`), &self{err: io.EOF}, fault.Unavailable, "the broker has no identity to show to vault", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d := newDouble(t)
			d.on("auth/jwt/login", tt.handler)
			r := providertest.One(t, open(t, database(t, d), providers.Env{Self: tt.self}), canary)
			defer r.Stop(t)
			if hint := r.Refused(t, providers.Request{}, tt.kind); hint != tt.hint {
				t.Errorf("hint: got %q, want %q", hint, tt.hint)
			}
			if name != "no identity" {
				r.Names(t, "asked PUT "+d.URL+"/v1/auth/jwt/login: "+tt.next)
			}
		})
	}
}
