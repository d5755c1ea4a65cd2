//go:build e2e && !linux

package e2e_test

import "syscall"

// attributes are none: only Linux ends a process whose test died.
func attributes() *syscall.SysProcAttr { return nil }
