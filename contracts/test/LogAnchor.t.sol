// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {LogAnchor} from "../src/LogAnchor.sol";
import {IHistories} from "../src/interfaces/IHistories.sol";
import {ILogAnchor} from "../src/interfaces/ILogAnchor.sol";
import {ISignedCalls} from "../src/interfaces/ISignedCalls.sol";
import {Network} from "./Network.sol";
import {Rfc9162Tree} from "./Rfc9162Tree.sol";

contract LogAnchorTest is Network {
    string private constant ORIGIN = "silkledger.example/embedded";
    bytes32 private constant ORIGIN_ID = keccak256(bytes(ORIGIN));
    uint256 private constant MAX_SIZE = 65;
    address private constant OPERATOR = address(0x0FE2A702);

    LogAnchor private log;
    bytes32[] private leaves;

    function setUp() public {
        _deployNetwork();
        log = new LogAnchor(address(signedCalls));
        for (uint256 i = 0; i < MAX_SIZE; ++i) {
            leaves.push(Rfc9162Tree.leafHash(abi.encode("statement", i)));
        }
        vm.prank(OPERATOR);
        log.registerOrigin(ORIGIN, hex"0101", 0);
    }

    function test_registration_is_recorded_and_never_changed() public {
        bytes memory record = abi.encode(uint8(1), ORIGIN, OPERATOR, hex"0101", bytes32(0));
        bytes32 head = keccak256(abi.encode(bytes32(0), uint64(block.number), keccak256(record)));
        vm.assertEq(log.headOf(ORIGIN_ID), head, "head over the registration");
        bytes32 slot = keccak256(abi.encode(ORIGIN_ID, uint256(0)));
        vm.assertEq(vm.load(address(log), slot), head, "in slot 0's mapping");
        _revertsWith(abi.encodeWithSelector(ILogAnchor.OriginTaken.selector, ORIGIN_ID));
        log.registerOrigin(ORIGIN, hex"0102", 0);
    }

    function test_malformed_registrations_are_refused() public {
        string[5] memory bad = ["", "a b", "a+b", "caf\xc3\xa9", string(new bytes(256))];
        for (uint256 i = 0; i < bad.length; ++i) {
            _revertsWith(abi.encodeWithSelector(ILogAnchor.OriginMalformed.selector));
            log.registerOrigin(bad[i], hex"01", 0);
        }
        _revertsWith(abi.encodeWithSelector(ILogAnchor.LogKeyMalformed.selector));
        log.registerOrigin("x", "", 0);
        _revertsWith(abi.encodeWithSelector(ILogAnchor.LogKeyMalformed.selector));
        log.registerOrigin("x", new bytes(257), 0);
    }

    function test_anchors_the_first_head_and_extends_it() public {
        vm.expectEmit(address(log));
        emit ILogAnchor.Anchored(ORIGIN_ID, 7, _root(7), 0, 0);
        _anchor(7, _root(7), new bytes32[](0));
        vm.snapshotGasLastCall("LogAnchor", "anchor first");
        bytes32[] memory proof = _proof(7, 65);
        vm.expectEmit(address(log));
        emit ILogAnchor.Anchored(ORIGIN_ID, 65, _root(65), 7, _root(7));
        _anchor(65, _root(65), proof);
        vm.snapshotGasLastCall("LogAnchor", "anchor 7 to 65");
        _expectHead(65);
    }

    function test_anchors_through_signed_calls_in_the_authors_name() public {
        bytes32 originId = keccak256("other");
        vm.prank(actor);
        log.registerOrigin("other", hex"01", 0);
        bytes memory data = abi.encodeCall(ILogAnchor.anchor, (originId, 1, _root(1), new bytes32[](0)));
        vm.prank(address(signedCalls));
        (bool returned,) = address(log).call(abi.encodePacked(data, actor));
        (uint64 size,) = log.anchoredHead(originId);
        vm.assertTrue(returned && size == 1, "the suffix is the controller");
        // The same suffix from anybody but the forwarder is noise.
        data = abi.encodeCall(ILogAnchor.anchor, (originId, 2, _root(2), _proof(1, 2)));
        (returned,) = address(log).call(abi.encodePacked(data, actor));
        (size,) = log.anchoredHead(originId);
        vm.assertTrue(returned && size == 1, "refused, not reverted");
    }

    function test_all_consistency_proofs_up_to_65_anchor() public {
        for (uint256 n = 2; n <= MAX_SIZE; ++n) {
            this.checkConsistency(n);
        }
    }

    /// @dev External, so that each size starts with fresh memory.
    function checkConsistency(uint256 n) external view {
        bytes32 root = _root(n);
        for (uint256 m = 1; m < n; ++m) {
            bytes32[] memory proof = _proof(m, n);
            bytes32 before = _root(m);
            vm.assertTrue(log.verifyConsistency(before, uint64(m), root, uint64(n), proof), "consistent");
            vm.assertFalse(log.verifyConsistency(root, uint64(m), root, uint64(n), proof), "other old root");
            vm.assertFalse(
                log.verifyConsistency(before, uint64(m), before, uint64(n), proof), "other new root"
            );
            vm.assertFalse(
                log.verifyConsistency(before, uint64(m), root, uint64(n), _longer(proof)), "longer"
            );
            vm.assertFalse(
                log.verifyConsistency(before, uint64(m), root, uint64(n), _shorter(proof)), "shorter"
            );
            proof[n % proof.length] ^= bytes32(uint256(1));
            vm.assertFalse(log.verifyConsistency(before, uint64(m), root, uint64(n), proof), "bit flipped");
        }
        vm.assertFalse(log.verifyConsistency(root, uint64(n), root, uint64(n), new bytes32[](0)), "equal");
        vm.assertFalse(log.verifyConsistency(0, 0, root, uint64(n), new bytes32[](0)), "empty old tree");
    }

    function test_all_inclusion_proofs_up_to_65_verify() public {
        for (uint256 n = 1; n <= MAX_SIZE; ++n) {
            this.checkInclusion(n);
        }
    }

    /// @dev External, so that each size starts with fresh memory.
    function checkInclusion(uint256 n) external view {
        bytes32 root = _root(n);
        (uint64 size, bytes32[] memory all) = (uint64(n), leaves);
        for (uint64 i = 0; i < n; ++i) {
            bytes32[] memory path = Rfc9162Tree.inclusion(all, i, n);
            vm.assertTrue(log.verifyInclusion(root, size, i, all[i], path), "included");
            vm.assertFalse(log.verifyInclusion(root, size, i, root, path) && n > 1, "other leaf");
            vm.assertFalse(log.verifyInclusion(root, size, i, all[i], _longer(path)), "longer");
            if (n == 1) continue;
            vm.assertFalse(log.verifyInclusion(root, size, (i + 1) % size, all[i], path), "other index");
            vm.assertFalse(log.verifyInclusion(root, size, i, all[i], _shorter(path)), "shorter");
        }
        vm.assertFalse(log.verifyInclusion(root, size, size, all[0], new bytes32[](0)), "index beyond");
        vm.assertFalse(log.verifyInclusion(root, 0, 0, all[0], new bytes32[](0)), "empty tree");
    }

    function test_refuses_fork_shrink_swap_repeat_and_gap() public {
        _anchor(20, _root(20), new bytes32[](0));
        // The same again, and a smaller tree.
        _expectRefused(20, _root(20), new bytes32[](0), 2);
        _expectRefused(19, _root(19), new bytes32[](0), 2);
        _expectRefused(0, 0, new bytes32[](0), 2);
        // Extension without a proof, or with another's.
        _expectRefused(30, _root(30), new bytes32[](0), 3);
        _expectRefused(30, _root(30), _proof(19, 30), 3);
        // A fork: an old leaf altered, with the forked tree's own proof.
        bytes32[] memory forked = leaves;
        forked[3] = keccak256("altered");
        _expectRefused(30, Rfc9162Tree.root(forked, 0, 30), Rfc9162Tree.consistency(forked, 20, 30), 3);
        // Two leaves swapped.
        bytes32[] memory swapped = leaves;
        (swapped[3], swapped[4]) = (swapped[4], swapped[3]);
        _expectRefused(30, Rfc9162Tree.root(swapped, 0, 30), Rfc9162Tree.consistency(swapped, 20, 30), 3);
        _expectHead(20);
        _anchor(30, _root(30), _proof(20, 30));
        _expectHead(30);
    }

    function test_refuses_strangers_unknown_origins_and_needless_proofs() public {
        vm.expectEmit(address(log));
        emit ILogAnchor.AnchorRefused(ORIGIN_ID, 5, _root(5), 1);
        log.anchor(ORIGIN_ID, 5, _root(5), new bytes32[](0));
        vm.expectEmit(address(log));
        emit ILogAnchor.AnchorRefused(keccak256("?"), 5, _root(5), 4);
        log.anchor(keccak256("?"), 5, _root(5), new bytes32[](0));
        _expectRefused(5, _root(5), new bytes32[](1), 3);
        _expectHead(0);
    }

    function test_a_successor_retires_the_origin_it_names() public {
        _anchor(5, _root(5), new bytes32[](0));
        _revertsWith(abi.encodeWithSelector(ILogAnchor.PredecessorInvalid.selector, ORIGIN_ID));
        log.registerOrigin("thief", hex"01", ORIGIN_ID);
        vm.prank(OPERATOR);
        log.registerOrigin("next", hex"01", ORIGIN_ID);
        _expectRefused(6, _root(6), _proof(5, 6), 5);
        (, bool retired) = log.originOf(ORIGIN_ID);
        vm.assertTrue(retired, "retired");
        _revertsWith(abi.encodeWithSelector(ILogAnchor.PredecessorInvalid.selector, ORIGIN_ID));
        vm.prank(OPERATOR);
        log.registerOrigin("another", hex"01", ORIGIN_ID);
    }

    /// @dev Random words are never an extension.
    function testFuzz_random_proofs_are_refused(uint64 size, bytes32 root, bytes32[] memory proof) public {
        _anchor(20, _root(20), new bytes32[](0));
        _anchor(size, root, proof);
        _expectHead(20);
    }

    function _anchor(uint64 size, bytes32 root, bytes32[] memory proof) private {
        vm.prank(OPERATOR);
        log.anchor(ORIGIN_ID, size, root, proof);
    }

    function _expectRefused(uint64 size, bytes32 root, bytes32[] memory proof, uint8 reason) private {
        vm.expectEmit(address(log));
        emit ILogAnchor.AnchorRefused(ORIGIN_ID, size, root, reason);
        _anchor(size, root, proof);
    }

    function _expectHead(uint64 expected) private view {
        (uint64 size, bytes32 root) = log.anchoredHead(ORIGIN_ID);
        vm.assertEq(size, expected, "size");
        vm.assertEq(root, expected == 0 ? bytes32(0) : _root(expected), "root");
    }

    function _root(uint256 n) private view returns (bytes32) {
        return Rfc9162Tree.root(leaves, 0, n);
    }

    function _proof(uint256 m, uint256 n) private view returns (bytes32[] memory) {
        return Rfc9162Tree.consistency(leaves, m, n);
    }

    function _longer(bytes32[] memory path) private pure returns (bytes32[] memory out) {
        out = new bytes32[](path.length + 1);
        for (uint256 i = 0; i < path.length; ++i) {
            out[i] = path[i];
        }
        out[path.length] = keccak256("one too many");
    }

    function _shorter(bytes32[] memory path) private pure returns (bytes32[] memory out) {
        out = new bytes32[](path.length - 1);
        for (uint256 i = 0; i < out.length; ++i) {
            out[i] = path[i];
        }
    }
}
