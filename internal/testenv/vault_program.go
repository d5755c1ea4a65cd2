package testenv

import (
	"os"
	"path/filepath"
	"testing"
)

// vaultVariable says which server the tests run that want one which speaks
// Vault's API: OpenBao where it is not set, HashiCorp's own for "hashicorp".
const vaultVariable = "MINTMARK_VAULT"

// vaultProgram is the program of such a server. Its flags are the same for all.
type vaultProgram struct {
	name  string // of the server, as testdata/servers/install knows it
	path  string
	token string // variable with the root token of the development mode
	// namespaces is whether it has any: of Vault only the enterprise edition does.
	namespaces bool
}

func chosenVault(t testing.TB) vaultProgram {
	t.Helper()
	switch chosen := os.Getenv(vaultVariable); chosen {
	case "":
		return vaultProgram{"openbao", filepath.Join(programs(t, "openbao"), "bao"), "BAO_DEV_ROOT_TOKEN_ID", true}
	case "hashicorp":
		return vaultProgram{"vault", filepath.Join(programs(t, "vault"), "vault"), "VAULT_DEV_ROOT_TOKEN_ID", false}
	default:
		t.Fatalf("choose a server: got %s=%s, want hashicorp or nothing", vaultVariable, chosen)
		return vaultProgram{}
	}
}
