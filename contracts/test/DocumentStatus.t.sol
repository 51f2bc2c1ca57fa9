// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {DocumentStatus} from "../src/DocumentStatus.sol";
import {IDocumentStatus} from "../src/interfaces/IDocumentStatus.sol";
import {Base} from "./Base.sol";

contract DocumentStatusTest is Base {
    bytes32 private constant ID = keccak256("statement");
    DocumentStatus private registry;

    function setUp() public {
        vm.roll(100);
        registry = new DocumentStatus(address(0xF0));
    }

    function test_statuses_follow_each_other_as_recorded() public {
        registry.suspend(ID, 6, 90);
        registry.reinstate(ID, 7, 95);
        registry.supersede(ID, "next", 3, 96);
        vm.expectEmit(address(registry));
        emit IDocumentStatus.StatusChanged(address(this), ID, 1, 2, 97, 0);
        registry.revoke(ID, 2, 97);
        (uint8 kind, uint8 reason, uint64 effective, bytes32 newId) = registry.statusOf(address(this), ID);
        vm.assertTrue(kind == 1 && reason == 2 && effective == 97 && newId == 0, "last word");
        bytes32 head = _fold(0, abi.encode(uint8(2), uint8(6), uint64(90), bytes32(0)));
        head = _fold(head, abi.encode(uint8(3), uint8(7), uint64(95), bytes32(0)));
        head = _fold(head, abi.encode(uint8(4), uint8(3), uint64(96), bytes32("next")));
        head = _fold(head, abi.encode(uint8(1), uint8(2), uint64(97), bytes32(0)));
        bytes32 key = keccak256(abi.encode(address(this), ID));
        vm.assertEq(registry.headOf(key), head, "head");
        vm.assertEq(vm.load(address(registry), keccak256(abi.encode(key, uint256(0)))), head, "slot 0");
    }

    function test_a_revocation_only_moves_back() public {
        registry.revoke(ID, 1, 90);
        bytes memory error = abi.encodeWithSelector(IDocumentStatus.AlreadyRevoked.selector, ID);
        _revertsWith(error);
        registry.revoke(ID, 1, 90);
        _revertsWith(error);
        registry.suspend(ID, 1, 200);
        _revertsWith(error);
        registry.reinstate(ID, 1, 200);
        _revertsWith(error);
        registry.supersede(ID, "next", 1, 200);
        registry.revoke(ID, 1, 89);
    }

    function test_what_makes_no_sense_is_refused() public {
        _revertsWith(abi.encodeWithSelector(IDocumentStatus.StatementIdZero.selector));
        registry.revoke(0, 1, 1);
        _revertsWith(abi.encodeWithSelector(IDocumentStatus.NotSuspended.selector, ID));
        registry.reinstate(ID, 1, 1);
        _revertsWith(abi.encodeWithSelector(IDocumentStatus.SuccessorInvalid.selector, ID));
        registry.supersede(ID, ID, 1, 1);
        _revertsWith(abi.encodeWithSelector(IDocumentStatus.SuccessorInvalid.selector, bytes32(0)));
        registry.supersede(ID, 0, 1, 1);
        registry.suspend(ID, 1, 1);
        _revertsWith(abi.encodeWithSelector(IDocumentStatus.AlreadySuspended.selector, ID));
        registry.suspend(ID, 1, 1);
        registry.supersede(ID, "next", 1, 1);
        _revertsWith(abi.encodeWithSelector(IDocumentStatus.AlreadySuperseded.selector, ID, bytes32("next")));
        registry.supersede(ID, "third", 1, 1);
    }

    /// @dev Nobody's word touches what another said, and absence stays provable.
    function testFuzz_actors_are_apart(address other) public {
        vm.assume(other != address(this) && other != address(0xF0));
        vm.prank(other);
        registry.revoke(ID, 1, 1);
        (uint8 kind,,,) = registry.statusOf(address(this), ID);
        vm.assertEq(kind, 0, "nothing said by this one");
        vm.assertEq(registry.headOf(keccak256(abi.encode(address(this), ID))), 0, "absence");
    }

    function _fold(bytes32 head, bytes memory record) private view returns (bytes32) {
        return keccak256(abi.encode(head, uint64(block.number), keccak256(record)));
    }
}
