package broker

// Approval is approval.
func Approval(dir, upstream, tool, digest string) string {
	return approval(dir, upstream, tool, digest)
}
