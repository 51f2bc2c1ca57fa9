// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {NetworkDirectory} from "../src/NetworkDirectory.sol";
import {INetworkDirectory} from "../src/interfaces/INetworkDirectory.sol";
import {Base} from "./Base.sol";

contract NetworkDirectoryTest is Base {
    function test_names_find_addresses_and_back() public {
        NetworkDirectory directory = _directory("LogAnchor", address(1), "SignedCalls", address(2));
        vm.assertEq(directory.addressOf("SignedCalls"), address(2), "by name");
        vm.assertTrue(directory.isListed(address(1)), "listed");
        vm.assertFalse(directory.isListed(address(3)), "not listed");
        string[] memory names = directory.names();
        vm.assertTrue(names.length == 2 && keccak256(bytes(names[0])) == keccak256("LogAnchor"), "in order");
        vm.assertEq(directory.version(), 1, "version");
        _revertsWith(abi.encodeWithSelector(INetworkDirectory.UnknownName.selector, "Ledger"));
        directory.addressOf("Ledger");
    }

    function test_malformed_directories_are_not_made() public {
        _revertsWith(abi.encodeWithSelector(INetworkDirectory.DuplicateEntry.selector, 1));
        _directory("a", address(1), "a", address(2));
        _revertsWith(abi.encodeWithSelector(INetworkDirectory.DuplicateEntry.selector, 1));
        _directory("a", address(1), "b", address(1));
        _revertsWith(abi.encodeWithSelector(INetworkDirectory.EmptyEntry.selector, 0));
        _directory("", address(1), "b", address(2));
        _revertsWith(abi.encodeWithSelector(INetworkDirectory.EmptyEntry.selector, 1));
        _directory("a", address(1), "b", address(0));
        _revertsWith(abi.encodeWithSelector(INetworkDirectory.LengthMismatch.selector, 1, 0));
        new NetworkDirectory(new string[](1), new address[](0));
    }

    function _directory(string memory a, address atA, string memory b, address atB)
        private
        returns (NetworkDirectory)
    {
        string[] memory names = new string[](2);
        address[] memory addresses = new address[](2);
        (names[0], names[1]) = (a, b);
        (addresses[0], addresses[1]) = (atA, atB);
        return new NetworkDirectory(names, addresses);
    }
}
