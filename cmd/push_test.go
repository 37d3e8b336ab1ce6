package cmd

import "testing"

func TestChunkSizes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"": 0, "65536": 65536, "65536B": 65536, "64KiB": 65536, "512kib": 512 << 10, "100k": 100_000, "8MB": 8_000_000, "1m": 1_000_000, "128MiB": 128 << 20,
	} {
		if got, err := parseChunk(text); err != nil || got != want {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"0", "-1", "64", "63KiB", "129MiB", "1GiB", "MiB", "1.5MiB", "1 MiB", "9999999999999999999", "2147483647MiB", "64KiBiB"} {
		if got, err := parseChunk(text); err == nil || exitCode(err) != 2 {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
}
