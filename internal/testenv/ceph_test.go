//go:build e2e && ceph

package testenv_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"mintmark/internal/testenv"
)

func TestCephAnswers(t *testing.T) {
	t.Parallel()
	s, bucket := testenv.Ceph(t), "reports"
	if _, err := s.S3().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &bucket}); err != nil {
		t.Fatalf("create bucket: %v", err)
	}
	got := s.Operation(t, func(o testenv.CephOperation) bool { return o.Operation == "create_bucket" })
	if got.Bucket != bucket || got.User != "broker" || got.Status != "200" {
		t.Errorf("log of operations: got %s", got.Raw)
	}
	s.Stop()
	if _, err := s.S3().ListBuckets(t.Context(), nil); err == nil {
		t.Fatal("list after Stop: got no error")
	}
}
