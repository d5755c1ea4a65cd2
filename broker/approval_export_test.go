package broker

// Approval is approval.
func Approval(dir, upstream, tool, digest string) string {
	return approval(dir, upstream, tool, digest)
}

// Approver is as whom an operator approves at this broker.
func (b *Broker) Approver() string { return b.approver }
