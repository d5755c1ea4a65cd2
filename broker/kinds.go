package broker

import (
	"mintmark/attest"
	"mintmark/attest/posture"
	"mintmark/attest/trust"
	"mintmark/broker/bundle"
	"mintmark/providers"
)

// Kinds is what a binary can be configured with: one table, written once in
// cmd/mintmark, so that what is in the binary can be read there.
type Kinds struct {
	Attestors map[string]Kind[AttestorEnv, attest.Attestor]
	Posture   map[string]Kind[PostureEnv, posture.Source]
	Providers map[string]Kind[providers.Env, providers.Provider]
}

// AttestorEnv is what an attestor may depend on beside its settings.
type AttestorEnv struct{ Trust *trust.Trust }

// PostureEnv is what a posture source may depend on beside its settings.
type PostureEnv struct{ Name string }

// Kind is one implementation: how to make its empty settings, and how to open
// it with filled ones.
type Kind[Env, T any] struct {
	settings func() any
	open     func(settings any, env Env) (T, error)
}

// KindOf returns the Kind of a constructor that takes its package's Config.
func KindOf[C, Env, T any](open func(C, Env) (T, error)) Kind[Env, T] {
	return Kind[Env, T]{
		settings: func() any { return new(C) },
		open:     func(settings any, env Env) (T, error) { return open(*settings.(*C), env) },
	}
}

// Settings returns the constructors that bundle.Load decodes settings with.
func (k Kinds) Settings() bundle.Kinds {
	return bundle.Kinds{
		Attestors: settingsOf(k.Attestors),
		Posture:   settingsOf(k.Posture),
		Providers: settingsOf(k.Providers),
	}
}

func settingsOf[Env, T any](kinds map[string]Kind[Env, T]) map[string]func() any {
	m := make(map[string]func() any, len(kinds))
	for name, k := range kinds {
		m[name] = k.settings
	}
	return m
}
