//go:build e2e && seaweedfs

package testenv_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"mintmark/internal/testenv"
)

func TestSeaweedFSAnswers(t *testing.T) {
	t.Parallel()
	s, bucket := testenv.SeaweedFS(t, testenv.SeaweedFSOptions{}), "reports"
	if _, err := s.S3().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &bucket}); err != nil {
		t.Fatalf("create bucket: %v", err)
	}
	got := s.Entry(t, func(e testenv.SeaweedFSEntry) bool { return e.Bucket == bucket })
	if got.Operation != "REST.PUT.BUCKET" || got.Requester != "arn:aws:iam::000000000000:user/owner" || got.Status != 200 {
		t.Errorf("audit log: got %s", got.Raw)
	}
	s.Stop()
	if _, err := s.S3().ListBuckets(t.Context(), nil); err == nil {
		t.Fatal("list after Stop: got no error")
	}
}
