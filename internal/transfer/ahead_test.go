package transfer_test

import (
	"context"
	"testing"

	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// A far source counts what it was asked to open.
type far struct {
	*transfertest.Source

	opened []int
}

func (f *far) Reach(_ context.Context, n int) { f.opened = append(f.opened, n) }

type named struct {
	*transfertest.Sink
	has bool
}

func (n named) Named(context.Context) bool { return n.has }

func TestConnectionsAreOpenedAheadForWhatIsNew(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		has  bool
		jobs int
		want []int
	}{"new": {false, 8, []int{4}}, "one at a time": {false, 1, []int{1}}, "known": {true, 8, nil}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := transfertest.Content{}
			src := &far{Source: &transfertest.Source{Root: c.Image(transfertest.Amd64(), c.Layer([]byte("layer"))), Content: c}}
			if _, err := transfer.Copy(t.Context(), src, named{&transfertest.Sink{}, test.has}, transfer.Options{Jobs: test.jobs}); err != nil {
				t.Fatal(err)
			}
			if len(src.opened) != len(test.want) || len(test.want) > 0 && src.opened[0] != test.want[0] {
				t.Errorf("opened %v, not %v", src.opened, test.want)
			}
		})
	}
}

// What is known of a source that is kept needs no connections.
func TestWhatIsKeptIsNotOpenedAheadTwice(t *testing.T) {
	t.Parallel()
	c := transfertest.Content{}
	src := &far{Source: &transfertest.Source{Root: c.Image(transfertest.Amd64(), c.Layer([]byte("layer"))), Content: c}}
	kept := transfer.Keep(src)
	for range 2 {
		if _, err := transfer.Copy(t.Context(), kept, &transfertest.Sink{}, transfer.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	if len(src.opened) != 1 {
		t.Errorf("opened %d times", len(src.opened))
	}
}
