package githubapp

import "mintmark/providers"

// URL is the API that a provider asks.
func URL(p providers.Provider) string { return p.(*provider).url }
