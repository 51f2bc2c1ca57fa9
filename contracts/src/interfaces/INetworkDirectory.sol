// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// @title Names of a network's contracts
/// @notice One address and the chain id find everything else. This version is immutable: nobody can repoint it.
interface INetworkDirectory {
    /// @notice `names` and `addresses` differ in length.
    error LengthMismatch(uint256 names, uint256 addresses);
    /// @notice An entry has an empty name or a zero address.
    error EmptyEntry(uint256 index);
    /// @notice The same name or the same address stands twice.
    error DuplicateEntry(uint256 index);
    /// @notice No entry has this name.
    error UnknownName(string name);

    /// @notice An entry of this directory; emitted only while it is made.
    event Listed(string name, address target);

    /// @notice Address of the contract called `name`. Reverts with `UnknownName` if there is none.
    function addressOf(string calldata name) external view returns (address);

    /// @notice All names, in the order given at construction.
    function names() external view returns (string[] memory);

    /// @notice Whether some name stands for `target`.
    function isListed(address target) external view returns (bool);

    /// @notice Version of the entries; 1 for as long as the directory is immutable.
    function version() external pure returns (uint256);
}
