package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"time"
)

// serveReverseProxy serves what many write in place of a broker: the standard
// library's proxy that sets one header. It attests, decides, records and
// scrubs nothing.
func serveReverseProxy(ctx context.Context, args []string) error {
	l, err := listenAt(ctx, args)
	if err != nil {
		return err
	}
	if len(args) != 2 {
		return errors.New("want an address and the upstream's")
	}
	upstream := &url.URL{Scheme: "http", Host: args[1]}
	authorization := "Bearer " + os.Getenv(bearerVariable)
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(upstream)
			r.Out.Header.Set("Authorization", authorization)
		},
		Transport: &http.Transport{MaxIdleConnsPerHost: 512, IdleConnTimeout: 90 * time.Second, DisableCompression: true},
	}
	server := &http.Server{Handler: proxy, ReadHeaderTimeout: 5 * time.Second}
	if err := server.Serve(l); ctx.Err() == nil {
		return err
	}
	return nil
}
