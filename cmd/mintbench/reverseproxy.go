package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"time"
)

// serveReverseProxy serves what many write in place of a broker: the standard
// library's proxy that sets one header, and nothing else set. Its transport is
// then Go's default one, which keeps two idle connections to a host and closes
// the others after their call. It attests, decides, records and scrubs nothing.
func serveReverseProxy(ctx context.Context, args []string) error {
	return serveProxy(ctx, args, nil)
}

// serveReverseProxyKept serves the same with a transport that keeps every
// connection to the upstream.
func serveReverseProxyKept(ctx context.Context, args []string) error {
	return serveProxy(ctx, args, &http.Transport{MaxIdleConnsPerHost: 512, IdleConnTimeout: 90 * time.Second, DisableCompression: true})
}

func serveProxy(ctx context.Context, args []string, transport http.RoundTripper) error {
	var at listeners
	if len(args) != len(at)+2 {
		return errors.New("want three addresses, the upstream's, and the directory of the certificates")
	}
	secured, mutual, err := serverTLS(args[len(at)+1])
	if err != nil {
		return err
	}
	server := &http.Server{Handler: newProxy(args[len(at)], transport), ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan error, len(at))
	for i, config := range []*tls.Config{nil, secured, mutual} {
		l, err := listenAt(ctx, args[i])
		if err != nil {
			return err
		}
		if config != nil {
			l = tls.NewListener(l, config)
		}
		go func() { ended <- server.Serve(l) }()
	}
	if err := <-ended; ctx.Err() == nil {
		return err
	}
	return nil
}

// newProxy returns a proxy to an upstream. A nil transport is the default one.
func newProxy(upstream string, transport http.RoundTripper) *httputil.ReverseProxy {
	to, authorization := &url.URL{Scheme: "http", Host: upstream}, "Bearer "+os.Getenv(bearerVariable)
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Header.Set("Authorization", authorization)
		},
		Transport: transport,
	}
}
