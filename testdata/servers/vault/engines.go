package main

import (
	"maps"
	"slices"

	jwt "github.com/hashicorp/vault-plugin-auth-jwt"
	kubernetes "github.com/hashicorp/vault-plugin-auth-kubernetes"
	kubernetessecrets "github.com/hashicorp/vault-plugin-secrets-kubernetes"
	kv "github.com/hashicorp/vault-plugin-secrets-kv"
	"github.com/hashicorp/vault/builtin/credential/approle"
	"github.com/hashicorp/vault/builtin/credential/cert"
	"github.com/hashicorp/vault/builtin/credential/userpass"
	"github.com/hashicorp/vault/builtin/logical/database"
	"github.com/hashicorp/vault/plugins/database/postgresql"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
)

type constructor = func() (any, error)

// registry holds the engines that are built in, by kind and name. It is a
// plugincatalog.BuiltinRegistry.
type registry map[consts.PluginType]map[string]constructor

func engines() registry {
	return registry{
		consts.PluginTypeCredential: {
			"approle":    engine(approle.Factory),
			"cert":       engine(cert.Factory),
			"jwt":        engine(jwt.Factory),
			"kubernetes": engine(kubernetes.Factory),
			"userpass":   engine(userpass.Factory),
		},
		consts.PluginTypeSecrets: {
			"database":   engine(database.Factory),
			"kubernetes": engine(kubernetessecrets.Factory),
			"kv":         engine(kv.Factory),
		},
		consts.PluginTypeDatabase: {
			"postgresql-database-plugin": postgresql.New,
		},
	}
}

func engine(factory logical.Factory) constructor {
	return func() (any, error) { return factory, nil }
}

func (r registry) Get(name string, kind consts.PluginType) (constructor, bool) {
	found, ok := r[kind][name]
	return found, ok
}

func (r registry) Contains(name string, kind consts.PluginType) bool {
	return r[kind][name] != nil
}

func (r registry) Keys(kind consts.PluginType) []string {
	return slices.Sorted(maps.Keys(r[kind]))
}

func (r registry) DeprecationStatus(name string, kind consts.PluginType) (consts.DeprecationStatus, bool) {
	return consts.Supported, r.Contains(name, kind)
}

func (registry) IsBuiltinEntPlugin(string, consts.PluginType) bool { return false }
