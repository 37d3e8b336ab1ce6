package engine

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Docker before 25 gives out each layer in a folder that is called after a hash
// over the chain ID of the layer and over what the file json beside it says (moby
// image/v1/imagev1.go, CreateID; image/tarexport/save.go, saveImage). So the
// layer is known before it is read.

// legacyLayer is the one of layers, diff IDs from the lowest up, that lies in
// the folder id with the document raw beside it.
func legacyLayer(id string, raw []byte, layers []v1.Hash) (v1.Hash, bool) {
	var doc map[string]json.RawMessage
	if json.Unmarshal(raw, &doc) != nil {
		return v1.Hash{}, false
	}
	delete(doc, "id")
	var parent string
	if json.Unmarshal(doc["parent"], &parent) == nil && parent != "" {
		doc["parent"] = quotedJSON("sha256:" + parent)
	}
	chain := ""
	for _, diffID := range layers {
		chain = chainID(chain, diffID)
		doc["layer_id"] = quotedJSON(chain)
		if createID(doc) == id || createID(without(doc, "os")) == id {
			return diffID, true
		}
	}
	return v1.Hash{}, false
}

// chainID is that of a layer on those of parent, "" for none (image-spec config.md).
func chainID(parent string, diffID v1.Hash) string {
	if parent == "" {
		return diffID.String()
	}
	sum := sha256.Sum256([]byte(parent + " " + diffID.String()))
	return "sha256:" + hex.EncodeToString(sum[:])
}

func createID(doc map[string]json.RawMessage) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	if e.Encode(doc) != nil {
		return ""
	}
	sum := sha256.Sum256(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
	return hex.EncodeToString(sum[:])
}

func without(doc map[string]json.RawMessage, key string) map[string]json.RawMessage {
	rest := make(map[string]json.RawMessage, len(doc))
	for k, v := range doc {
		if k != key {
			rest[k] = v
		}
	}
	return rest
}

func quotedJSON(s string) json.RawMessage {
	raw, _ := json.Marshal(s) // of a string it cannot fail
	return raw
}
