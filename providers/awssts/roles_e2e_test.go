//go:build e2e && (ceph || seaweedfs)

package awssts_test

// everything is what a role permits whose sessions a policy limits.
const everything = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:*"],"Resource":["arn:aws:s3:::*"]}]}`

// trust permits what a principal ("AWS", "Federated") is to do.
func trust(kind, principal, action string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"` + kind + `":["` + principal + `"]},"Action":["` + action + `"]}]}`
}
