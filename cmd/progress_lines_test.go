package cmd

import (
	"bytes"
	"errors"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/transfer"
)

func TestPlainLines(t *testing.T) {
	t.Parallel()
	gone := errors.New("connection refused")
	one := v1.Descriptor{Digest: v1.Hash{Algorithm: "sha256", Hex: "111111111111ff"}, Size: 2048}
	two := v1.Descriptor{Digest: v1.Hash{Algorithm: "sha256", Hex: "222222222222ff"}}
	retry := func(d v1.Descriptor, try int) transfer.Event {
		return transfer.Event{Stage: transfer.Retrying, Desc: d, Try: try, Wait: time.Duration(try) * time.Second, Err: gone}
	}
	for what, test := range map[string]struct {
		events []transfer.Event
		want   string
	}{
		"one line for all connections of a blob": {
			[]transfer.Event{retry(one, 2), retry(one, 2), retry(one, 3), retry(one, 2), retry(one, 3), retry(two, 2)},
			"111111111111: try 2 in 2s: connection refused\n111111111111: try 3 in 3s: connection refused\n222222222222: try 2 in 2s: connection refused\n",
		},
		"and again once bytes came": {
			[]transfer.Event{retry(one, 2), {Stage: transfer.Progress, Desc: one, Bytes: 7}, retry(one, 2)},
			"111111111111: try 2 in 2s: connection refused\n111111111111: try 2 in 2s: connection refused\n",
		},
		"the end": {
			[]transfer.Event{{Stage: transfer.Started, Desc: one}, {Stage: transfer.Done, Desc: one}, {Stage: transfer.Existed, Desc: one}, {Stage: transfer.Existed, Desc: two}},
			"111111111111: done (2.0 KiB)\n111111111111: already there (2.0 KiB)\n222222222222: already there\n",
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			on := plainLines(&out)
			for _, e := range test.events {
				on(e)
			}
			if out.String() != test.want {
				t.Errorf("got\n%swant\n%s", out.String(), test.want)
			}
		})
	}
}
