// Command vault is HashiCorp Vault's server with the engines that Mintmark's
// tests use. Vault's own command can't be built from published modules, because
// the sdk that it is made with was never published: the core needs v0.20.0, some
// engines v0.21.0. What runs here (core, HTTP handler, listeners, configuration,
// storage) is Vault's, and the flags are those of "vault server" that the tests
// pass. The engines of the newer sdk are programs of their own in the folder
// plugins beside this one, which Vault runs as it does any external plugin.
package main

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/command/server"
	vaulthttp "github.com/hashicorp/vault/http"
	"github.com/hashicorp/vault/physical/raft"
	"github.com/hashicorp/vault/sdk/physical"
	"github.com/hashicorp/vault/sdk/physical/inmem"
	"github.com/hashicorp/vault/vault"
)

type options struct {
	dev, devTLS                bool
	listen, certificates, file string
}

func main() {
	logger := hclog.New(&hclog.LoggerOptions{Level: hclog.Info, Output: os.Stderr})
	if err := run(os.Args[1:], logger); err != nil {
		fmt.Fprintln(os.Stderr, "vault:", err)
		os.Exit(1)
	}
}

func run(args []string, logger hclog.Logger) error {
	if len(args) == 0 || args[0] != "server" {
		return errors.New(`read arguments: want "server" first`)
	}
	var o options
	flags := flag.NewFlagSet("server", flag.ContinueOnError)
	flags.BoolVar(&o.dev, "dev", false, "in memory, initialised and unsealed")
	flags.BoolVar(&o.devTLS, "dev-tls", false, "with TLS and a certificate of its own")
	flags.Bool("dev-no-store-token", true, "the token is never stored")
	flags.StringVar(&o.listen, "dev-listen-address", "127.0.0.1:8200", "where to listen")
	flags.StringVar(&o.certificates, "dev-tls-cert-dir", "", "where to write the certificates")
	flags.StringVar(&o.file, "config", "", "file of a server that is not for development")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	config, err := o.config()
	if err != nil {
		return err
	}
	return serve(config, o.dev, logger)
}

func (o options) config() (config *server.Config, err error) {
	switch {
	case o.file != "":
		return server.LoadConfigFile(o.file)
	case o.devTLS:
		config, err = server.DevTLSConfig("inmem", o.certificates, nil)
	default:
		config, err = server.DevConfig("inmem")
	}
	if err != nil {
		return nil, err
	}
	config.Listeners[0].Address = o.listen
	return config, nil
}

func serve(config *server.Config, dev bool, logger hclog.Logger) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find plugins: %w", err)
	}
	plugins := filepath.Join(filepath.Dir(program), "plugins")
	core, err := newCore(config, plugins, logger)
	if err != nil {
		return err
	}
	listener := config.Listeners[0]
	handler := vaulthttp.Handler.Handler(&vault.HandlerProperties{Core: core, ListenerConfig: listener})
	core.SetClusterHandler(handler)
	if listener.ClusterAddress != "" {
		address, err := net.ResolveTCPAddr("tcp", listener.ClusterAddress)
		if err != nil {
			return fmt.Errorf("read cluster address: %w", err)
		}
		core.SetClusterListenerAddrs([]*net.TCPAddr{address})
	}
	l, _, _, err := server.NewListener(listener, os.Stderr, nil)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	ended := make(chan error, 1)
	go func() {
		s := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, ErrorLog: logger.StandardLogger(nil)}
		ended <- s.Serve(l)
	}()
	if dev {
		if err := develop(core, os.Getenv("VAULT_DEV_ROOT_TOKEN_ID"), plugins); err != nil {
			return err
		}
	}
	return <-ended
}

func newCore(config *server.Config, plugins string, logger hclog.Logger) (*vault.Core, error) {
	c := &vault.CoreConfig{
		RawConfig:       config,
		Logger:          logger,
		DisableMlock:    true,
		StorageType:     config.Storage.Type,
		RedirectAddr:    config.Storage.RedirectAddr,
		ClusterAddr:     config.Storage.ClusterAddr,
		BuiltinRegistry: engines(),
		PluginDirectory: plugins,
	}
	var err error
	switch config.Storage.Type {
	case "inmem":
		c.Physical, err = inmem.NewInmem(config.Storage.Config, logger)
	case "raft":
		c.Physical, err = raft.NewRaftBackend(config.Storage.Config, logger)
	default:
		err = fmt.Errorf("got storage %q, want inmem or raft", config.Storage.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("open storage: %w", err)
	}
	c.HAPhysical, _ = c.Physical.(physical.HABackend) // none in memory
	core, err := vault.NewCore(c)
	if err != nil {
		return nil, fmt.Errorf("make core: %w", err)
	}
	return core, nil
}
