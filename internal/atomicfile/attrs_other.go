//go:build !linux

package atomicfile

import "os"

func readAttrs(*os.File) (map[string][]byte, error) { return nil, nil }

func setAttrs(*os.File, map[string][]byte) error { return nil }
