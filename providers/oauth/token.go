package oauth

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"sync/atomic"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"mintmark/internal/dpop"
	"mintmark/providers"
)

// authority is one authorization server and who the broker is to it.
type authority struct {
	account account
	where   *discovery
	client  *http.Client
	roots   *x509.CertPool
	nonces  *dpop.Nonces
	env     providers.Env

	irrevocable atomic.Bool // the server said that it does not revoke its tokens
}

// form makes the parameters of one token request. It is called anew for a second
// one, since an assertion in it is good once.
type form func() (url.Values, error)

// bond is what a token is bound to.
type bond struct {
	key         crypto.Signer    // that it is to be bound to; nil: none
	certificate *tls.Certificate // that was shown for it; nil: none
}

// ask asks for a token that is to be bound to the key of b, and says in b what was
// shown. A request is made twice only where the server wants a nonce of its own in the
// proof (RFC 9449, section 8). Errors are explained; a token with one was issued, in an
// answer at fault.
func (a *authority) ask(ctx context.Context, at endpoints, b *bond, params form) (*oauth2.Token, error) {
	token, err := a.once(ctx, at, b, params)
	if b.key != nil && code(err) == "use_dpop_nonce" {
		token, err = a.once(ctx, at, b, params)
	}
	return token, err
}

func (a *authority) once(ctx context.Context, at endpoints, b *bond, params form) (*oauth2.Token, error) {
	own, err := params()
	if err != nil {
		return nil, explain(err, "")
	}
	shown, err := a.account.login(ctx, at, a.env)
	if err != nil {
		return nil, explain(err, "")
	}
	b.certificate = shown.certificate
	maps.Copy(own, shown.params)
	client := *a.showing(shown)
	var seen unread
	defer seen.wipe()
	client.Transport = jsonOnly{proving{next: client.Transport, key: b.key, nonces: a.nonces, env: a.env}, &seen}
	// A new source each time caches nothing. What it calls client credentials is
	// any request of a client: the grant is among the parameters.
	request := clientcredentials.Config{
		ClientID: shown.id, ClientSecret: shown.secret, AuthStyle: shown.style,
		TokenURL: at.token, EndpointParams: own,
	}
	token, err := request.Token(context.WithValue(ctx, oauth2.HTTPClient, &client))
	if err != nil {
		return seen.token(), at.asked(at.token, explain(err, shown.shown()))
	}
	token, err = unechoed(token, own, shown.secret)
	return token, at.asked(at.token, err)
}

// proving adds the proof of possession to each request, and keeps the nonces that
// come back.
type proving struct {
	next   http.RoundTripper
	key    crypto.Signer // nil: no proofs
	nonces *dpop.Nonces
	env    providers.Env
}

// RoundTrip does one exchange.
func (p proving) RoundTrip(r *http.Request) (*http.Response, error) {
	if p.key == nil {
		return p.next.RoundTrip(r)
	}
	proof, err := dpop.Proof(p.key, r.Method, r.URL, dpop.Options{Nonce: p.nonces.For(r.URL), Now: p.env.Now()})
	if err != nil {
		_ = r.Body.Close()
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Header.Set(dpop.Header, proof)
	answer, err := p.next.RoundTrip(r)
	if err == nil {
		p.nonces.Keep(r.URL, answer.Header)
	}
	return answer, err
}

// jsonOnly refuses a good answer that is not JSON: the library would read other
// forms too, which RFC 6749 does not know.
type jsonOnly struct {
	next http.RoundTripper
	seen *unread
}

// RoundTrip does one exchange.
func (j jsonOnly) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := j.next.RoundTrip(r)
	if err != nil || answer.StatusCode >= 300 {
		return answer, err
	}
	if kind, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type")); kind != "application/json" {
		_ = answer.Body.Close()
		return nil, errNotJSON
	}
	answer.Body = j.seen.keep(answer.Body)
	return answer, nil
}
