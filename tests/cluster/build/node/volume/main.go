// Command volume makes or removes the folder of one volume, called by local-path-provisioner's helper pod as
// `volume -p FOLDER -s BYTES -m MODE -a create|delete`. A folder has no size, so BYTES is not looked at.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	folder := flag.String("p", "", "the volume's folder")
	action := flag.String("a", "", "create or delete")
	flag.String("s", "", "size in bytes")
	flag.String("m", "", "mode of the volume")
	flag.Parse()
	if err := run(*folder, *action); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(folder, action string) error {
	if !filepath.IsAbs(folder) || filepath.Dir(folder) == "/" {
		return fmt.Errorf("volume: -p must be a folder below the volumes' folder, got %q", folder)
	}
	switch action {
	case "create":
		if err := os.MkdirAll(folder, 0o777); err != nil {
			return err
		}
		return os.Chmod(folder, 0o777) // pods run under users of their own; MkdirAll obeys the umask
	case "delete":
		return os.RemoveAll(folder)
	default:
		return fmt.Errorf("volume: -a must be create or delete, got %q", action)
	}
}
