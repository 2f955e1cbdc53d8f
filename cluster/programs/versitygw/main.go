// The bundled object store of a shop: versitygw's S3 API over the files of one folder, with one account and
// one bucket, which is there when the port is open. Configured by environment variables; the keys come
// from files, as the passwords of the other engines do.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	access, err := content("OBJECTS_ACCESS_KEY_FILE")
	if err != nil {
		return err
	}
	secret, err := content("OBJECTS_SECRET_KEY_FILE")
	if err != nil {
		return err
	}
	bucket := os.Getenv("OBJECTS_BUCKET")
	if bucket == "" {
		return errors.New("OBJECTS_BUCKET is not set: it names the bucket that there is to be")
	}
	backend, store, err := open(or("OBJECTS_DATA", "/data"))
	if err != nil {
		return err
	}
	defer backend.Shutdown()
	if err := ensure(ctx, backend, store, bucket, access); err != nil {
		return fmt.Errorf("cannot make the bucket %s: %w", bucket, err)
	}
	return embedgw.RunVersityGW(ctx, backend, &embedgw.Config{
		RootUserAccess:    access,
		RootUserSecret:    secret,
		Region:            or("OBJECTS_REGION", "us-east-1"),
		Ports:             []string{or("OBJECTS_ADDRESS", ":9000")},
		MaxConnections:    1024,
		MaxRequests:       256,
		MultipartMaxParts: 10000,
		KeepAlive:         true,
		Quiet:             true,
	})
}

// Objects in one folder, what is known of them in another: not every volume has extended attributes.
func open(data string) (*posix.Posix, meta.SideCar, error) {
	objects, about := filepath.Join(data, "objects"), filepath.Join(data, "about")
	for _, folder := range []string{objects, about} {
		if err := os.MkdirAll(folder, 0o750); err != nil {
			return nil, meta.SideCar{}, err
		}
	}
	store, err := meta.NewSideCar(about)
	if err != nil {
		return nil, store, err
	}
	backend, err := posix.New(objects, store, posix.PosixOpts{SideCarDir: about, Concurrency: 256})
	return backend, store, err
}

// Makes the bucket unless it is there. One without an owner is what a start that was cut short has left;
// it is empty, and nobody could use it.
func ensure(ctx context.Context, backend *posix.Posix, store meta.SideCar, bucket, owner string) error {
	_, err := store.RetrieveAttribute(nil, bucket, "", "acl")
	if err == nil {
		return nil
	}
	if !errors.Is(err, meta.ErrNoSuchKey) {
		return err
	}
	// posix.New has made the folder of objects the current one.
	if err := os.Remove(bucket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	acl, err := json.Marshal(auth.ACL{Owner: owner, Grantees: []auth.Grantee{{
		Permission: auth.PermissionFullControl, Access: owner, Type: types.TypeCanonicalUser,
	}}})
	if err != nil {
		return err
	}
	return backend.CreateBucket(ctx, &s3.CreateBucketInput{
		Bucket:                    &bucket,
		CreateBucketConfiguration: &types.CreateBucketConfiguration{},
		ObjectOwnership:           types.ObjectOwnershipBucketOwnerEnforced,
	}, acl)
}

// What is in the file that a variable names, without the line feed at its end.
func content(variable string) (string, error) {
	file := os.Getenv(variable)
	if file == "" {
		return "", fmt.Errorf("%s is not set", variable)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	value := strings.TrimRight(string(text), "\r\n")
	if value == "" {
		return "", fmt.Errorf("%s is empty", file)
	}
	return value, nil
}

func or(variable, fallback string) string {
	if value := os.Getenv(variable); value != "" {
		return value
	}
	return fallback
}
