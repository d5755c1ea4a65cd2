package oauth

import "testing"

// A document of another machine names no service of this one, however that is spelled.
func TestNoDocumentOfAnotherMachinePointsHere(t *testing.T) {
	const from = "https://as.example.org"
	for address, want := range map[string]bool{
		"https://as.example.org/token": true, "https://10.0.0.1/token": true, "https://localhost.example.org/token": true,
		"https://127.0.0.1/token": false, "https://127.9.9.9/token": false, "https://[::1]/token": false, "https://[::ffff:127.0.0.1]/token": false,
		"https://localhost/token": false, "https://LocalHost/token": false, "https://localhost./token": false, "https://as.localhost:8443/token": false, "https://AS.LOCALHOST./token": false,
		"http://as.example.org/token": false, "http://localhost/token": false,
	} {
		if err := fit(address, from); (err == nil) != want {
			t.Errorf("%s: got %v, want it taken %t", address, err, want)
		}
	}
	for address, want := range map[string]bool{"http://localhost:1/token": true, "http://LOCALHOST/token": true, "https://[::1]/token": true, "http://as.localhost/token": false, "http://as.example.org/token": false} {
		if err := fit(address, "http://127.0.0.1:8080"); (err == nil) != want {
			t.Errorf("%s, named by this machine: got %v, want it taken %t", address, err, want)
		}
	}
}
