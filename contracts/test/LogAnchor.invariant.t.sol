// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {LogAnchor} from "../src/LogAnchor.sol";
import {Base} from "./Base.sol";
import {Rfc9162Tree} from "./Rfc9162Tree.sol";

/// @dev The log's operator, honest and not, and a stranger. Remembers the leaves of what was anchored.
contract OperatorHandler is Base {
    LogAnchor private immutable _log;
    bytes32 private immutable _originId;
    bytes32[] private _leaves;
    uint256 public accepted;
    bool public honestRefused;
    bool public forkAccepted;

    constructor() {
        _log = new LogAnchor(address(1));
        _log.registerOrigin("log", hex"01", 0);
        _originId = keccak256("log");
    }

    function leaves() external view returns (bytes32[] memory) {
        return _leaves;
    }

    function head() public view returns (uint64 size, bytes32 root) {
        return _log.anchoredHead(_originId);
    }

    function extend(uint256 by, bytes32 seed) external {
        bytes32[] memory next = _grown(by, seed);
        if (next.length == _leaves.length) return;
        if (_try(next, next.length, false)) {
            _leaves = next;
            ++accepted;
        } else {
            honestRefused = true;
        }
    }

    /// @dev Alters one anchored leaf and proves the forked tree as well as can be.
    function fork(uint256 by, bytes32 seed, uint256 where) external {
        if (_leaves.length == 0) return;
        bytes32[] memory next = _grown(by, seed);
        next[where % _leaves.length] = keccak256(abi.encode(seed, "fork"));
        if (_try(next, next.length, false)) forkAccepted = true;
    }

    function swap(uint256 by, bytes32 seed, uint256 a, uint256 b) external {
        if (_leaves.length < 2) return;
        (a, b) = (a % _leaves.length, b % _leaves.length);
        if (a == b) return;
        bytes32[] memory next = _grown(by, seed);
        (next[a], next[b]) = (next[b], next[a]);
        if (_try(next, next.length, false)) forkAccepted = true;
    }

    function shrink(uint256 to) external {
        if (_leaves.length < 2) return;
        if (_try(_leaves, 1 + (to % (_leaves.length - 1)), false)) forkAccepted = true;
    }

    function stranger(uint256 by, bytes32 seed) external {
        bytes32[] memory next = _grown(1 + (by % 8), seed);
        if (next.length != 0 && _try(next, next.length, true)) forkAccepted = true;
    }

    /// @dev Whether the head moved.
    function _try(bytes32[] memory tree, uint256 size, bool asStranger) private returns (bool) {
        (uint64 before, bytes32 rootBefore) = head();
        bytes32[] memory proof =
            before == 0 || before >= size ? new bytes32[](0) : Rfc9162Tree.consistency(tree, before, size);
        bytes32 root = Rfc9162Tree.root(tree, 0, size);
        if (asStranger) vm.prank(address(0xBAD));
        _log.anchor(_originId, uint64(size), root, proof);
        (uint64 size_, bytes32 root_) = head();
        return size_ != before || root_ != rootBefore;
    }

    /// @dev The anchored leaves and up to eight more, 96 in all at most.
    function _grown(uint256 by, bytes32 seed) private view returns (bytes32[] memory next) {
        by = by % 9;
        if (_leaves.length + by > 96) by = 96 - _leaves.length;
        next = new bytes32[](_leaves.length + by);
        for (uint256 i = 0; i < next.length; ++i) {
            next[i] = i < _leaves.length ? _leaves[i] : keccak256(abi.encode(seed, i));
        }
    }
}

contract LogAnchorInvariant is Base {
    OperatorHandler private handler;

    function setUp() public {
        handler = new OperatorHandler();
        _target(address(handler));
    }

    /// @dev The anchored head is always the tree over all leaves ever anchored, in order: append-only.
    function invariant_the_head_only_ever_grows_by_appending() public view {
        (uint64 size, bytes32 root) = handler.head();
        bytes32[] memory leaves = handler.leaves();
        vm.assertEq(size, leaves.length, "size");
        if (size != 0) vm.assertEq(root, Rfc9162Tree.root(leaves, 0, size), "root");
        vm.assertFalse(handler.forkAccepted(), "a fork, swap, shrink or stranger was anchored");
        vm.assertFalse(handler.honestRefused(), "an honest extension was refused");
    }
}
