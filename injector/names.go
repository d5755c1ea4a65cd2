package injector

import (
	"bytes"
	"slices"
	"strings"

	"mintmark/injector/mcp"
)

// carriesAuthority reports whether a header is one by which callers prove who
// they are, or proxies say who called them. It decides only what a record calls
// stripped: a header that is in neither list does not pass either.
func carriesAuthority(name string) bool {
	switch name {
	case "Authorization", "Proxy-Authorization", "Cookie", "Cookie2", "Dpop", "Www-Authenticate", "Signature", "Signature-Input",
		"Forwarded", "X-Real-Ip", "Remote-User":
		return true
	case mcp.HeaderSession, mcp.HeaderVersion, mcp.HeaderMethod, mcp.HeaderName, "Content-Type", "Accept", "Traceparent", "Tracestate", "User-Agent":
		return false // as each call has them
	}
	var buf [64]byte
	lower := appendLower(buf[:0], name)
	for _, begin := range [...]string{"x-forwarded-", "x-amz-", "x-goog-", "x-ms-", "x-remote-", "x-ssl-", "ssl-"} {
		if bytes.HasPrefix(lower, []byte(begin)) {
			return true
		}
	}
	for _, word := range [...]string{"auth", "token", "api-key", "apikey", "secret", "password", "credential", "session", "client-cert", "x-amz-", "x-goog-", "x-ms-"} {
		if bytes.Contains(lower, []byte(word)) {
			return true
		}
	}
	return false
}

// appendLower appends s with its ASCII letters in lower case.
func appendLower(b []byte, s string) []byte {
	for i := range len(s) {
		b = append(b, lower(s[i]))
	}
	return b
}

// namesAuthority reports whether a parameter of this name authenticates a call, in
// some server's spelling.
func namesAuthority(name string) bool { return slices.ContainsFunc(spellings(name), isAuthority) }

// namesMethod reports whether a parameter of this name says that another method is
// meant than the request's.
func namesMethod(name string) bool {
	return slices.ContainsFunc(spellings(name), func(spelling string) bool {
		switch spelling {
		case "_method", "x-http-method", "x-http-method-override", "x-method-override":
			return true
		}
		return false
	})
}

// isAuthority names the parameters by which calls are authenticated: whole, because
// much else that an API needs has "token" or "key" in its name (page_token,
// continuation-token). Hyphens and underscores count for nothing: what one API
// calls api_key is api-key or apikey to another. AccessKeyId is none: it authenticates
// nobody without the signature beside it, and IAM's calls name with it the key that they
// are about (DeleteAccessKey, in a form).
func isAuthority(name string) bool {
	switch joined(name) {
	case "accesstoken", "apitoken", "authtoken", "bearertoken", "idtoken", "jobtoken", "personalaccesstoken", "privatetoken", "refreshtoken",
		"sessiontoken", "token", "usertoken", "xaccesstoken", "xapitoken", "xauthtoken", "jwt", "bearer", "pat", "ticket",
		"cftoken", "oauthtoken", "securitytoken", "apptoken", "circletoken", "feedtoken", "rsstoken", "wstoken",
		"accesskey", "apikey", "appkey", "applicationkey", "authkey", "awsaccesskeyid", "consumerkey", "hapikey", "key",
		"oauthconsumerkey", "ossaccesskeyid", "privatekey", "secretkey", "servicekey", "sessionkey", "subscriptionkey", "userkey", "xapikey", "googleaccessid",
		"accesskeysecret", "apisecret", "appsecret", "consumersecret", "secretaccesskey",
		"auth", "authorization", "credential", "credentials", "apisig", "authsignature", "hmac", "oauthsignature", "sig", "signature",
		"usercredentials", "clientassertion", "clientsecret", "secret", "apipassword", "jpassword", "ospassword", "pass", "passphrase", "passwd", "password", "pwd",
		"jsessionid", "phpsessid", "session", "sessionid":
		return true
	}
	hyphened := strings.ReplaceAll(name, "_", "-")
	for _, begin := range [...]string{"x-amz-", "x-goog-", "x-ms-", "oauth-"} {
		if strings.HasPrefix(hyphened, begin) {
			return true
		}
	}
	return ofVendor(hyphened)
}

// ofVendor reports whether a parameter in lower case and with hyphens is one of those by
// which many vendors have what they take in a header too, each with a name of its own:
// X-Plex-Token, x-oss-signature.
func ofVendor(name string) bool {
	if !strings.HasPrefix(name, "x-") {
		return name == "q-signature" // Tencent's
	}
	for _, end := range [...]string{"-key", "-token", "-signature", "-credential", "-secret"} {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	return false
}

// alike reports whether some server reads the parameter name as the same as own:
// servers of protocol buffers read apiKey as api_key.
func alike(name, own string) bool {
	mine := joined(fold(parameter(own)))
	for _, spelling := range spellings(name) {
		if spelling == fold(own) || joined(spelling) == mine {
			return true
		}
	}
	return false
}

// joined returns name without hyphens and underscores.
func joined(name string) string {
	if !strings.ContainsAny(name, "-_") {
		return name
	}
	return strings.Map(func(r rune) rune {
		if r == '-' || r == '_' {
			return -1
		}
		return r
	}, name)
}

// spellings returns the names that servers read in a parameter's, without their
// case: as it is, and as those do which are free with names, also where a bracket
// is not closed ("access[token" is access_token to PHP) or not opened, or stands
// first ("token]" and "[token]" are token to Rack and qs).
func spellings(name string) []string {
	all := []string{fold(name), fold(parameter(name))}
	if !strings.ContainsAny(name, "[]") {
		return all
	}
	inner := strings.TrimLeft(name, " []")
	if i := strings.IndexAny(inner, "[]\x00"); i >= 0 {
		inner = inner[:i]
	}
	return append(all, fold(parameter(inner)), fold(parameter(strings.Replace(name, "[", "_", 1))))
}

// parameter returns the name that servers which are free with names (PHP and
// those that follow it) read in a parameter's: without spaces before it, cut at a
// bracket or a zero byte, with an underscore for a dot or space.
func parameter(name string) string {
	name = strings.TrimLeft(name, " ")
	if i := strings.IndexAny(name, "[\x00"); i > 0 {
		name = name[:i]
	}
	return strings.Map(func(r rune) rune {
		if r == '.' || r == ' ' {
			return '_'
		}
		return r
	}, name)
}

// fold returns name without its case, also where a letter of another alphabet is
// one of ASCII in the other case, as U+017F and U+212A are.
func fold(name string) string { return strings.ToLower(strings.ToUpper(name)) }
