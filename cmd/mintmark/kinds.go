package main

import (
	"mintmark/attest"
	"mintmark/attest/jwtsvid"
	"mintmark/attest/posture"
	"mintmark/attest/posture/trivy"
	"mintmark/attest/x509svid"
	"mintmark/broker"
	"mintmark/providers"
	"mintmark/providers/awssts"
	"mintmark/providers/azure"
	"mintmark/providers/gcp"
	"mintmark/providers/githubapp"
	"mintmark/providers/kubernetestoken"
	"mintmark/providers/oauth"
	"mintmark/providers/signedjwt"
	"mintmark/providers/static"
	"mintmark/providers/svidcert"
	"mintmark/providers/vault"
)

// kinds is the whole of what this binary can be configured with. A new
// attestor, posture source or provider is one package and one line here.
func kinds() broker.Kinds {
	return broker.Kinds{
		Attestors: map[string]broker.Kind[broker.AttestorEnv, attest.Attestor]{
			"x509-svid": broker.KindOf(func(c x509svid.Config, env broker.AttestorEnv) (attest.Attestor, error) {
				return x509svid.Open(c, env.Trust)
			}),
			"jwt-svid": broker.KindOf(func(c jwtsvid.Config, env broker.AttestorEnv) (attest.Attestor, error) {
				return jwtsvid.Open(c, env.Trust)
			}),
		},
		Posture: map[string]broker.Kind[broker.PostureEnv, posture.Source]{
			"trivy": broker.KindOf(func(c trivy.Config, env broker.PostureEnv) (posture.Source, error) {
				return trivy.Open(c, env.Name)
			}),
		},
		Providers: map[string]broker.Kind[providers.Env, providers.Provider]{
			"aws-sts":          broker.KindOf(awssts.Open),
			"azure":            broker.KindOf(azure.Open),
			"gcp":              broker.KindOf(gcp.Open),
			"github-app":       broker.KindOf(githubapp.Open),
			"kubernetes-token": broker.KindOf(kubernetestoken.Open),
			"oauth":            broker.KindOf(oauth.Open),
			"signed-jwt":       broker.KindOf(signedjwt.Open),
			"static":           broker.KindOf(static.Open),
			"vault":            broker.KindOf(vault.Open),
			"x509-svid":        broker.KindOf(svidcert.Open),
		},
	}
}
