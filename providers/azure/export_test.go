package azure

import "mintmark/providers"

// URL is where a provider asks.
func URL(p providers.Provider) string { return p.(*provider).url }
