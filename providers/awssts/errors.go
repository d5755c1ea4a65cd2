package awssts

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"mintmark/internal/fault"
	"mintmark/providers"
)

// explain makes a *fault.Error of an error of the SDK. It keeps the status and
// a code it knows: the rest is the server's own text, which may quote a secret. At is
// the configured endpoint, or "".
func explain(role, at string, err error) error {
	if known, ok := errors.AsType[*fault.Error](err); ok {
		return known
	}
	answer, answered := errors.AsType[*smithyhttp.ResponseError](err)
	// The SDK makes up an answer without a status where none came.
	if !answered || answer.Response == nil || answer.HTTPStatusCode() == 0 {
		return providers.Asked(http.MethodPost, at, providers.Unreachable("sts", err))
	}
	code := ""
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		code = api.ErrorCode()
	}
	err = refused(role, answer.HTTPStatusCode(), code)
	if sent := answer.Response.Request; sent != nil {
		return providers.Asked(sent.Method, sent.URL.String(), err)
	}
	return err
}

func refused(role string, status int, code string) error {
	cause := fmt.Errorf("assume %s: sts answered with status %d and %s", role, status, meaning(code))
	switch {
	case status == http.StatusTooManyRequests, code == "Throttling", code == "ThrottlingException":
		return fault.Wrap("lease", fault.Unavailable, "sts limits how often the broker may ask", cause)
	case status >= 500, code == "IDPCommunicationError":
		return fault.Wrap("lease", fault.Unavailable, "sts could not issue a credential", cause)
	case status < 300:
		return fault.Wrap("lease", fault.Unavailable, "sts gave no usable answer", cause)
	}
	return fault.Wrap("lease", fault.Internal, "the credential provider refused the broker", cause)
}

// meaning returns our own words for the codes that STS documents, and for the one of
// S3 that Ceph has for all parameters.
func meaning(code string) string {
	switch code {
	case "AccessDenied", "AccessDeniedException":
		return "AccessDenied: the broker may not assume the role"
	case "InvalidClientTokenId", "InvalidAccessKeyId":
		return "InvalidClientTokenId: compare access_key_id"
	case "SignatureDoesNotMatch":
		return "SignatureDoesNotMatch: compare secret_access_key"
	case "MalformedPolicyDocument", "PackedPolicyTooLarge":
		return code + ": compare policy, policy_arns and tags"
	case "InvalidIdentityToken", "IDPRejectedClaim", "ExpiredToken", "ExpiredTokenException":
		return code + ": the broker's JWT-SVID is not accepted; compare web_identity.audience and the role's trust policy"
	case "RegionDisabledException", "InvalidContextAssertion", "ValidationError", "InvalidParameterValue", "InvalidArgument", "Throttling", "ThrottlingException", "IDPCommunicationError", "RequestExpired":
		return code
	}
	return "no code that sts documents"
}
