// Package e2e tests Mintmark as a black box: the real binary as a process of its
// own, between real agents and real servers. Identities come from SPIRE,
// credentials from OpenBao, an OAuth server and MinIO, and what they open is
// PostgreSQL, S3 and MCP servers of both eras. Every broker that a test starts
// must end in order, with a log that verifies, and with no secret in anything
// that it gave out or wrote.
//
// The tests have the build tag e2e: go test -tags e2e ./internal/e2e/
package e2e
