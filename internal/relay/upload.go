package relay

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// An upload is one blob that the engine sends in one request or more. Its bytes
// go on to the registry as they come.
type upload struct {
	id     string
	bodies *bodies
	done   chan struct{} // closed when the registry has answered
	turn   sync.Mutex    // one request at a time

	name v1.Descriptor
	err  error // set when done is closed
}

// abort ends an upload whose request is not read any more: by now, or once the
// engine goes away.
func (u *upload) abort(err error) {
	u.bodies.end(err)
	<-u.done
}

// begin begins an upload, or says that the registry has the blob already. What
// repository the engine would mount it from does not matter: it knows others of
// this address, if any.
func (p *Push) begin(w http.ResponseWriter, r *http.Request) {
	if digest, err := v1.NewHash(r.URL.Query().Get("mount")); err == nil {
		if _, err := p.size(r.Context(), digest); err == nil {
			w.Header().Set("Location", "/v2/"+p.repo+"/blobs/"+digest.String())
			w.Header().Set("Docker-Content-Digest", digest.String())
			w.WriteHeader(http.StatusCreated)
			return
		}
	}
	u, err := p.start()
	if err != nil {
		refuse(w, http.StatusTooManyRequests, "TOOMANYREQUESTS")
		return
	}
	p.accepted(w, u)
}

// start makes room for an upload. The registry hears of it with its first byte.
func (p *Push) start() (*upload, error) {
	u := &upload{id: secret(), done: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.uploads) >= maxUploads {
		return nil, errors.New("too many uploads")
	}
	p.uploads[u.id] = u
	u.bodies = newBodies(&p.sent)
	p.relay.served.Go(func() {
		defer close(u.done)
		u.err = p.pass(u)
	})
	return u, nil
}

// pass sends an upload on, from its first byte to its name.
func (p *Push) pass(u *upload) error {
	first := make([]byte, 1)
	if _, err := io.ReadFull(u.bodies, first); err != nil && !errors.Is(err, io.EOF) {
		return err
	} else if err != nil {
		first = nil
	}
	return p.dst.PutStream(p.relay.ctx, io.MultiReader(bytes.NewReader(first), u.bodies), func() v1.Descriptor { return u.name })
}

func (p *Push) accepted(w http.ResponseWriter, u *upload) {
	h := w.Header()
	h.Set("Location", "/v2/"+p.repo+"/blobs/uploads/"+u.id)
	h.Set("Docker-Upload-Uuid", u.id)
	h.Set("Range", "0-"+strconv.FormatInt(max(0, u.bodies.size()-1), 10))
	h.Set("Content-Length", "0")
	w.WriteHeader(http.StatusAccepted)
}

func (p *Push) upload(w http.ResponseWriter, r *http.Request, id string) {
	p.mu.Lock()
	u := p.uploads[id]
	p.mu.Unlock()
	if u == nil {
		refuse(w, http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN")
		return
	}
	u.turn.Lock()
	defer u.turn.Unlock()
	switch r.Method {
	case http.MethodPatch:
		if p.take(w, r, u) {
			p.accepted(w, u)
		}
	case http.MethodPut:
		if p.take(w, r, u) {
			p.finish(w, r, u)
		}
	case http.MethodDelete:
		p.drop(u, errGone)
		w.WriteHeader(http.StatusNoContent)
	default:
		refuse(w, http.StatusMethodNotAllowed, "UNSUPPORTED")
	}
}

// drop gives an upload up.
func (p *Push) drop(u *upload, why error) {
	p.mu.Lock()
	delete(p.uploads, u.id)
	p.mu.Unlock()
	u.abort(why)
}

// take passes the body of a request on. If that fails it answers and says no.
func (p *Push) take(w http.ResponseWriter, r *http.Request, u *upload) bool {
	engine, err := u.bodies.pass(r.Body, u.done)
	switch {
	case engine != nil: // it went away
		p.drop(u, engine)
	case err != nil:
		p.broke(w, r, u)
	default:
		return true
	}
	return false
}

// broke answers for an upload that the registry did not take.
func (p *Push) broke(w http.ResponseWriter, r *http.Request, u *upload) {
	p.drop(u, errGone)
	p.relay.fail(r.Context(), u.err)
	denied(w)
}

// finish gives the upload its name, once the bytes are those of it.
func (p *Push) finish(w http.ResponseWriter, r *http.Request, u *upload) {
	got, size := u.bodies.digest(), u.bodies.size()
	if want := r.URL.Query().Get("digest"); want != got.String() {
		p.drop(u, errGone)
		refuse(w, http.StatusBadRequest, "DIGEST_INVALID")
		return
	}
	u.name = v1.Descriptor{Digest: got, Size: size, MediaType: types.DockerLayer}
	u.bodies.end(io.EOF)
	<-u.done
	if u.err != nil {
		p.broke(w, r, u)
		return
	}
	p.mu.Lock()
	delete(p.uploads, u.id)
	p.moved[got] = true
	p.mu.Unlock()
	p.has(got, size)
	w.Header().Set("Location", "/v2/"+p.repo+"/blobs/"+got.String())
	w.Header().Set("Docker-Content-Digest", got.String())
	w.WriteHeader(http.StatusCreated)
}
