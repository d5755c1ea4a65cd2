//go:build e2e

package testenv_test

import (
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"mintmark/internal/testenv"
)

func TestEverythingListsTools(t *testing.T) {
	t.Parallel()
	server := testenv.Everything(t)
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	session, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: server.URL}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	tools, err := session.ListTools(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(tools.Tools) == 0 {
		t.Error("tools: got none")
	}
}
