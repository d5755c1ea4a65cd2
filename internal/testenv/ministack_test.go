//go:build e2e && ministack

package testenv_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"mintmark/internal/testenv"
)

func TestMiniStackAnswers(t *testing.T) {
	t.Parallel()
	s, bucket := testenv.MiniStack(t), "reports"
	if _, err := s.S3().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &bucket}); err != nil {
		t.Fatalf("create bucket: %v", err)
	}
	broker := s3.NewFromConfig(s.Config(), func(o *s3.Options) { o.UsePathStyle = true })
	if _, err := broker.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &bucket}); err == nil {
		t.Error("list by the broker, whom nothing permits it: got no error")
	}
	s.Stop()
	if _, err := s.S3().ListBuckets(t.Context(), nil); err == nil {
		t.Fatal("list after Stop: got no error")
	}
}
