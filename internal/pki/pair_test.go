package pki_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/testkit"
)

func usage(u ...x509.ExtKeyUsage) testkit.CertOption {
	return testkit.Template(func(c *x509.Certificate) { c.ExtKeyUsage = u })
}

func TestParsePair(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	client := ca.NewLeaf(t, usage(x509.ExtKeyUsageClientAuth))
	other := ca.NewLeaf(t)
	cert, key := client.PEM(), client.KeyPEM(t)
	block, _ := pem.Decode(key)
	legacy := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}, Bytes: block.Bytes})
	encrypted := pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: block.Bytes})
	curve := pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS", Bytes: []byte{6, 0}})
	broken := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: block.Bytes[:20]})
	for name, tt := range map[string]struct {
		cert, key []byte
		want      string // part of the error; "" for none
	}{
		"as it should be":        {cert, key, ""},
		"with the chain":         {testkit.Bundle(client, ca), key, ""},
		"text around":            {append([]byte("subject=x\r\n"), cert...), append([]byte("Bag Attributes\n"), key...), ""},
		"parameters of a curve":  {cert, append(bytes.Clone(curve), key...), ""},
		"no usage named":         {ca.NewLeaf(t, usage()).PEM(), key, "does not belong"},
		"key of another":         {cert, other.KeyPEM(t), "does not belong"},
		"chain the wrong way":    {testkit.Bundle(ca, client), key, "does not belong"},
		"encrypted":              {cert, encrypted, "encrypted"},
		"encrypted the old way":  {cert, legacy, "encrypted"},
		"no key":                 {cert, cert, "no private key"},
		"empty key":              {cert, nil, "no private key"},
		"key in DER":             {cert, block.Bytes, "no private key"},
		"two keys":               {cert, append(bytes.Clone(key), other.KeyPEM(t)...), "more than one"},
		"broken key":             {cert, broken, "does not belong"},
		"huge key":               {cert, bytes.Repeat([]byte("x"), 2<<20), "too large"},
		"certificate in DER":     {client.Raw, key, "PEM"},
		"no certificate":         {nil, key, "PEM"},
		"key in the certificate": {append(bytes.Clone(cert), key...), key, "private key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := pki.ParsePair(tt.cert, tt.key, time.Now())
			if tt.want == "" {
				if err != nil || !bytes.HasPrefix(p.Cert, cert) || !bytes.Equal(p.Key, key) {
					t.Errorf("got %v, %v", p, err)
				}
				return
			}
			var refused *pki.PairError
			if !errors.As(err, &refused) || p != nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, %v", p, err)
			}
			for line := range strings.Lines(string(key)) {
				if len(line) > 40 && strings.Contains(err.Error(), strings.TrimSpace(line)) {
					t.Errorf("the error shows the key: %v", err)
				}
			}
		})
	}
}

func TestParsePairWantsACertificateForClients(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	now := time.Now()
	for name, tt := range map[string]struct {
		cert *testkit.Cert
		want string
	}{
		"no usage":      {ca.NewLeaf(t, usage()), ""},
		"any usage":     {ca.NewLeaf(t, usage(x509.ExtKeyUsageAny)), ""},
		"both":          {ca.NewLeaf(t, usage(x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth)), ""},
		"own issuer":    {testkit.NewSelfSigned(t, usage(x509.ExtKeyUsageClientAuth)), ""},
		"RSA":           {ca.NewLeaf(t, usage(), testkit.WithKey(testkit.RSAKey(t, 2048))), ""},
		"servers alone": {ca.NewLeaf(t, usage(x509.ExtKeyUsageServerAuth)), "not meant for clients"},
		"code alone":    {ca.NewLeaf(t, usage(x509.ExtKeyUsageCodeSigning)), "not meant for clients"},
		"expired":       {ca.NewLeaf(t, usage(), testkit.Validity(now.AddDate(-1, 0, 0), now.AddDate(0, 0, -1))), "expired on"},
		"not yet":       {ca.NewLeaf(t, usage(), testkit.Validity(now.AddDate(0, 0, 1), now.AddDate(1, 0, 0))), "not valid before"},
		"a CA":          {ca, "is a CA"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := pki.ParsePair(tt.cert.PEM(), tt.cert.KeyPEM(t), now)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestPairIsNotShown(t *testing.T) {
	t.Parallel()
	p := pki.Pair{Cert: []byte("CERT"), Key: []byte("SECRET")}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		for _, got := range []string{fmt.Sprintf(verb, p), fmt.Sprintf(verb, &p)} {
			if strings.Contains(got, "SECRET") || strings.Contains(got, "83") {
				t.Errorf("%s shows %s", verb, got)
			}
		}
	}
}
