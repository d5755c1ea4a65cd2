package broker

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// unbound adds to why a listener could not be opened what to do next.
func unbound(err error) error {
	if next := howToBind(err); next != "" {
		return fmt.Errorf("%w: %s", err, next)
	}
	return err
}

// howToBind says what to do where an address can't be listened at, or nothing where that
// is not known.
func howToBind(err error) string {
	if errors.Is(err, syscall.EADDRINUSE) {
		return "another process listens there: end it, or name another address"
	}
	failed, ok := errors.AsType[*net.OpError](err)
	if !ok {
		return ""
	}
	if failed.Net == "unix" {
		return howToBindPath(err)
	}
	_, unknown := errors.AsType[*net.DNSError](err)
	switch {
	case errors.Is(err, syscall.EACCES):
		return "a port below 1024 is for root and who has CAP_NET_BIND_SERVICE: name a higher one, or give it that (AmbientCapabilities= of systemd)"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "no interface of this machine has this address: name one that has, or 0.0.0.0 for all"
	case unknown:
		return "this machine's resolver does not know the name: name an IP address of this machine"
	}
	return ""
}

// howToBindPath is howToBind for a Unix socket.
func howToBindPath(err error) string {
	switch {
	case errors.Is(err, syscall.ENOENT):
		return "there is no such directory: make it, for the broker's user (RuntimeDirectory= of systemd)"
	case errors.Is(err, syscall.EACCES):
		return "the broker's user may not write into the directory: give it to that user, or name another path"
	case errors.Is(err, syscall.EINVAL):
		return "the path is longer than the 107 bytes that a socket's can have: name a shorter one"
	}
	return ""
}
