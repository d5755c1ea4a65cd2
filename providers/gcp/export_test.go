package gcp

import "mintmark/providers"

// URLs are where a provider exchanges its identity, and where it becomes a service account.
func URLs(p providers.Provider) (exchange, become string) {
	google := p.(*provider)
	return google.tokenURL, google.impersonateURL
}
