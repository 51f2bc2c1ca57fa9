// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {INetworkDirectory} from "./interfaces/INetworkDirectory.sol";

/// @title Names of a network's contracts, fixed at construction
/// @notice Does not check that its entries have code: the contracts and the directory know each other, so one
/// side is deployed against a predicted address. Who calls an entry checks its code.
contract NetworkDirectory is INetworkDirectory {
    string[] private _names;
    mapping(bytes32 nameHash => address target) private _targets;
    mapping(address target => bool listed) private _listed;

    /// @param names_ Names of the entries, each once.
    /// @param addresses Their addresses, in the same order, each once.
    constructor(string[] memory names_, address[] memory addresses) {
        if (names_.length != addresses.length) revert LengthMismatch(names_.length, addresses.length);
        for (uint256 i = 0; i < names_.length; ++i) {
            bytes32 nameHash = keccak256(bytes(names_[i]));
            if (bytes(names_[i]).length == 0 || addresses[i] == address(0)) revert EmptyEntry(i);
            if (_targets[nameHash] != address(0) || _listed[addresses[i]]) revert DuplicateEntry(i);
            _names.push(names_[i]);
            _targets[nameHash] = addresses[i];
            _listed[addresses[i]] = true;
            emit Listed(names_[i], addresses[i]);
        }
    }

    /// @inheritdoc INetworkDirectory
    function addressOf(string calldata name) external view returns (address) {
        address target = _targets[keccak256(bytes(name))];
        if (target == address(0)) revert UnknownName(name);
        return target;
    }

    /// @inheritdoc INetworkDirectory
    function names() external view returns (string[] memory) {
        return _names;
    }

    /// @inheritdoc INetworkDirectory
    function isListed(address target) external view returns (bool) {
        return _listed[target];
    }

    /// @inheritdoc INetworkDirectory
    function version() external pure returns (uint256) {
        return 1;
    }
}
