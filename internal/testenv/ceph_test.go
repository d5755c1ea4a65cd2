//go:build e2e && ceph

package testenv_test

import (
	"testing"

	"mintmark/internal/testenv"
)

func TestCephAnswers(t *testing.T) {
	t.Parallel()
	s := testenv.Ceph(t)
	c := s.S3()
	bucket := "reports"
	t.Log(s.Log())
	if _, err := c.ListBuckets(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	_ = bucket
	s.Stop()
	if _, err := c.ListBuckets(t.Context(), nil); err == nil {
		t.Fatal("list after Stop: got no error")
	}
}
