package vault

import (
	"context"
	"encoding/json"
	"io"
	"net/http"

	"github.com/hashicorp/vault/api"

	"mintmark/internal/fault"
)

// maxHealth bounds what is read of a server's account of itself.
const maxHealth = 64 << 10

// checkNamespaces returns an error where a namespace is configured and the
// server says that it has none: Vault's open edition takes no notice of the
// header, and would answer with what it has at the same path for everybody. The
// caller holds turn. Its errors are explained.
func (s *session) checkNamespaces(ctx context.Context) error {
	if s.namespaces || (s.client.Namespace() == "" && s.auth.Namespace() == "") {
		return nil
	}
	open, err := s.openEdition(ctx)
	if err != nil {
		return err
	}
	if open {
		return wanting(s.client, http.MethodGet, "sys/health", "this vault has no namespaces, and the broker is told to use one",
			"it is of the open edition, which takes no notice of one: leave out namespace and auth.namespace, or compare the address")
	}
	s.namespaces = true
	return nil
}

// openEdition reports whether the server says that it is Vault's open edition.
// OpenBao, which has namespaces, speaks of no editions, and what stands before a
// server may keep the question from it: neither is such a word.
func (s *session) openEdition(ctx context.Context) (bool, error) {
	// It is asked in no namespace, and answers though it is a standby or sealed.
	answer, err := s.as(s.client.WithNamespace(""), token{}).Logical().ReadRawWithDataWithContext(ctx, "sys/health", map[string][]string{
		"standbycode": {"299"}, "performancestandbycode": {"299"}, "drsecondarycode": {"299"}, "sealedcode": {"299"}, "uninitcode": {"299"},
	})
	if answer != nil {
		defer func() { _ = answer.Body.Close() }()
	}
	if err == nil && answer.StatusCode == http.StatusTooManyRequests { // the library takes it for a standby's
		err = &api.ResponseError{StatusCode: answer.StatusCode}
	}
	if explained := explain(err); explained != nil {
		if fault.KindOf(explained) == fault.Unavailable {
			return false, explained
		}
		return false, nil
	}
	var health struct{ Enterprise *bool }
	err = json.NewDecoder(io.LimitReader(answer.Body, maxHealth)).Decode(&health)
	return err == nil && health.Enterprise != nil && !*health.Enterprise, nil
}
