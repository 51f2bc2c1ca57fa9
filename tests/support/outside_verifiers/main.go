// Command tlog verifies transparency logs with golang.org/x/mod/sumdb/{note,tlog}, as vendored in the Go toolchain.
// Nothing here computes a hash or checks a signature: arguments are parsed and handed on.
// Exit status 0: verified; 1: refused, with the reason on stderr.
package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"outside/note"
	"outside/tlog"
)

const height = 8

// directory reads tiles where C2SP tlog-tiles puts them: sumdb's own paths name the height as well.
type directory string

func (d directory) Height() int                    { return height }
func (d directory) SaveTiles([]tlog.Tile, [][]byte) {}
func (d directory) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range tiles {
		path := strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/", height), "tile/", 1)
		data, err := os.ReadFile(filepath.Join(string(d), path))
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

func open(vkey, file string) (tlog.Tree, error) {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return tlog.Tree{}, err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return tlog.Tree{}, err
	}
	opened, err := note.Open(text, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() {
		return tlog.Tree{}, errors.New("not a checkpoint of this origin")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	root, err := tlog.ParseHash(lines[2])
	return tlog.Tree{N: size, Hash: root}, err
}

// bundle reads the entries of a C2SP entry bundle: each after its length in two bytes.
func bundle(dir string, number, width int64) ([][]byte, error) {
	tile := tlog.Tile{H: height, L: -1, N: number, W: int(width)}
	path := strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/data/", height), "tile/entries/", 1)
	data, err := os.ReadFile(filepath.Join(dir, path))
	if err != nil {
		return nil, err
	}
	var entries [][]byte
	for len(data) > 0 {
		if len(data) < 2 || len(data) < 2+int(data[0])<<8+int(data[1]) {
			return nil, errors.New("an entry is cut off")
		}
		end := 2 + int(data[0])<<8 + int(data[1])
		entries, data = append(entries, data[2:end]), data[end:]
	}
	if int64(len(entries)) != width {
		return nil, fmt.Errorf("%s holds %d entries", path, len(entries))
	}
	return entries, nil
}

// tiles verifies the checkpoint, every hash tile by the root, and every entry by its leaf hash and inclusion proof.
func tiles(vkey, dir string) error {
	tree, err := open(vkey, filepath.Join(dir, "checkpoint"))
	if err != nil {
		return err
	}
	reader := tlog.TileHashReader(tree, directory(dir))
	for first := int64(0); first < tree.N; first += 1 << height {
		width := min(tree.N-first, 1<<height)
		entries, err := bundle(dir, first>>height, width)
		if err != nil {
			return err
		}
		for i, entry := range entries {
			index, leaf := first+int64(i), tlog.RecordHash(entry)
			stored, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, index)})
			if err != nil {
				return err
			}
			if stored[0] != leaf {
				return fmt.Errorf("entry %d is not the one in the tree", index)
			}
			proof, err := tlog.ProveRecord(tree.N, index, reader)
			if err != nil {
				return err
			}
			if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, leaf); err != nil {
				return err
			}
		}
	}
	fmt.Println(tree.N, tree.Hash)
	return nil
}

func hashes(texts []string) ([]tlog.Hash, error) {
	var all []tlog.Hash
	for _, text := range texts {
		hash, err := tlog.ParseHash(text)
		if err != nil {
			return nil, err
		}
		all = append(all, hash)
	}
	return all, nil
}

// inclusion SIZE INDEX ROOT LEAF [PATH…]
func inclusion(size, index int64, values []tlog.Hash) error {
	return tlog.CheckRecord(values[2:], size, values[0], index, values[1])
}

// consistency OLD NEW OLD-ROOT NEW-ROOT [PATH…]
func consistency(old, size int64, values []tlog.Hash) error {
	return tlog.CheckTree(values[2:], size, values[1], old, values[0])
}

func run(args []string) error {
	if len(args) == 3 && args[0] == "tiles" {
		return tiles(args[1], args[2])
	}
	if len(args) == 3 && args[0] == "note" {
		tree, err := open(args[1], args[2])
		fmt.Println(tree.N, base64.StdEncoding.EncodeToString(tree.Hash[:]))
		return err
	}
	if len(args) < 5 {
		return errors.New("usage: tiles VKEY DIR | note VKEY FILE | inclusion … | consistency …")
	}
	first, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil {
		return err
	}
	second, err := strconv.ParseInt(args[2], 10, 64)
	if err != nil {
		return err
	}
	values, err := hashes(args[3:])
	if err != nil {
		return err
	}
	switch args[0] {
	case "inclusion":
		return inclusion(first, second, values)
	case "consistency":
		return consistency(first, second, values)
	}
	return errors.New("unknown command")
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
